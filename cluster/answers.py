"""What the API server answers, decoded: objects, Status objects, the lines of a watch."""

import json
from collections.abc import Iterator

import urllib3

from cluster import shapes
from cluster.errors import MALFORMED, NO_ANSWER, ApiError, from_status

Object = dict[str, object]
"""A decoded JSON object."""

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Longest line of a watch; etcd takes no request above 1.5 MiB, so more is no event."""


def decode(data: bytes, request: str) -> Object:
    """Returns the object that a body holds.

    Raises:
        ApiError: `MALFORMED`: it holds none.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ApiError(0, MALFORMED, f"answer is not JSON: {_glimpse(data)}", request=request) from error
    if not isinstance(body, dict):
        raise ApiError(0, MALFORMED, f"answer is not an object: {_glimpse(data)}", request=request)
    return body


def failure(response: urllib3.BaseHTTPResponse, request: str) -> ApiError:
    """Makes the error of a response that is no success."""
    data = response.data
    header = response.headers.get("Retry-After", "")
    retry_after = float(header) if header.isascii() and header.isdigit() else None
    try:
        body = decode(data, request)
    except ApiError:
        # A gateway's own page: what it says is all that there is.
        body = {"message": _glimpse(data)}
    return from_status(
        response.status,
        body,
        request=request,
        fallback="".join((response.reason or "").title().split()),
        retry_after=retry_after,
    )


def lines(response: urllib3.BaseHTTPResponse, request: str) -> Iterator[bytes]:
    """Yields the lines of a stream, each as soon as its end has come.

    Raises:
        ApiError: `MALFORMED`: a line without end; `NO_ANSWER`: the stream ended within one.
    """
    begun: list[bytes] = []  # joined at its end: a long line that trickles in is not copied with each chunk
    size = 0
    while data := response.read1(65536):
        *ended, rest = data.split(b"\n")
        if ended:
            ended[0] = b"".join((*begun, ended[0]))
            yield from (line for line in ended if line.strip())
            begun, size = [], 0
        begun.append(rest)
        size += len(rest)
        if size > MAX_EVENT_BYTES:
            raise ApiError(0, MALFORMED, f"an event longer than {MAX_EVENT_BYTES} bytes", request=request)
    if b"".join(begun).strip():
        raise ApiError(0, NO_ANSWER, "the stream ended within an event", request=request)


def event(line: bytes, request: str) -> tuple[str, Object]:
    """Returns type and object of a watch event.

    Raises:
        ApiError: The event is an ``ERROR``, or none (`MALFORMED`).
    """
    decoded = decode(line, request)
    kind, body = shapes.text(decoded, "type"), decoded.get("object")
    if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR") or not isinstance(body, dict):
        raise ApiError(0, MALFORMED, f"not a watch event: {_glimpse(line)}", request=request)
    if kind == "ERROR":
        raise from_status(0, body, request=request)
    return kind, body


def _glimpse(data: bytes) -> str:
    return repr(data[:120].decode(errors="replace"))
