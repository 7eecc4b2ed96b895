"""Messages on a stream: four bytes of length, big endian, then that many bytes of JSON. Pure."""

import json
from collections.abc import Iterator

MAX_FRAME = 1 << 20
"""Bytes of a message; the largest finding (`preflight.result`: 64 entries of 2,304 characters) has 600 KB."""

_HEADER = 4

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class FramingError(ValueError):
    """What came is no message, or one that is too long."""


def encode(message: object, limit: int = MAX_FRAME) -> bytes:
    """Returns a message's bytes.

    Raises:
        FramingError: It is longer than ``limit``, or holds half a surrogate pair, which no Unicode text does.
    """
    try:
        body = _ENCODER.encode(message).encode()
    except UnicodeEncodeError as error:
        raise FramingError(f"a message that is no Unicode: {error.reason}") from None
    if len(body) > limit:
        raise FramingError(f"a message of {len(body)} bytes, more than {limit}")
    return len(body).to_bytes(_HEADER, "big") + body


class Decoder:
    """Takes a stream apart, however it was cut; holds at most one message."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        """Starts at the beginning of a stream of messages of at most ``limit`` bytes."""
        self._limit = limit
        self._buffer = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[object]:
        """Takes more of the stream and yields the messages that are complete with it.

        Raises:
            FramingError: What came, after the messages that were yielded, is none, or longer than the limit.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER:
            end = _HEADER + int.from_bytes(self._buffer[:_HEADER], "big")
            if end > _HEADER + self._limit:
                raise FramingError(f"a message of {end - _HEADER} bytes, more than {self._limit}")
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[_HEADER:end])
            del self._buffer[:end]
            try:
                message = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise FramingError(f"a message that is no JSON: {type(error).__name__}") from None
            yield message
