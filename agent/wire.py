"""Messages between agent and probe on a stream socket: length-limited, versioned, encoded and decoded purely.

A message is one JSON object behind its length in bytes (four bytes, big-endian). It names the protocol's
version and its own type. The agent greets and gets a `Welcome`; each `RunRequest` gets one `Answer` or
`Refusal`; a `DeviceChange` may come at any time after the welcome. Whoever sends what is not understood is
told why and cut off: after that nothing in the stream can be trusted.
"""

import json
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from preflight.fields import FieldError, Fields
from preflight.report import MAX_NAME, MAX_RESULTS, NAME, Report, report_from_dict

VERSION = 1

MAX_REQUEST = 64 * 1024
"""Bytes of a message to the probe; 256 names of checks have 17 KiB at most."""

MAX_REPLY = 8 * 1024 * 1024
"""Bytes of a message to the agent; the report of twenty checks has about 10 KiB."""

MAX_SECONDS = 3600.0
"""The longest run that can be asked for."""

MIN_SECONDS = 0.001

MAX_COUNT = 1_000_000

Message = TypeVar("Message")

_LENGTH = struct.Struct("!I")


class WireError(Exception):
    """What was received is not understood; the message is one line that says why."""


class Hello(NamedTuple):
    """Agent to probe: who are you? Also asks to be told of changes of the device."""


class RunRequest(NamedTuple):
    """Agent to probe: run the checks.

    Attributes:
        timeout: Seconds that the whole run may take.
        use_emulation: VMs may run under software emulation.
        ignored: Names of checks that are judged Warn at most.
        only: Names of checks to run; empty for all.
    """

    timeout: float
    use_emulation: bool = False
    ignored: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


class Welcome(NamedTuple):
    """Probe to agent: the answer to `Hello`.

    Attributes:
        agent_version: Version of the probe's program.
        checks: Number of checks that it has loaded.
        stuck: Children of earlier runs that could not be killed and still hang in the kernel.
    """

    agent_version: str
    checks: int
    stuck: int


class Answer(NamedTuple):
    """Probe to agent: the report of the run that was asked for."""

    report: Report


class Refusal(NamedTuple):
    """Probe to agent: why a request was not carried out; the connection ends after it."""

    reason: str


class DeviceChange(NamedTuple):
    """Probe to agent: ``/dev/kvm`` came, went or changed, as ``change`` says."""

    change: str


Request = Hello | RunRequest
Reply = Welcome | Answer | Refusal | DeviceChange


class Frames:
    """Cuts a stream of bytes into messages' payloads."""

    def __init__(self, limit: int) -> None:
        """Takes the greatest length of a payload, in bytes."""
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Adds bytes as they came from the socket."""
        self._buffer += data

    def next(self) -> bytes | None:
        """Returns the next whole payload, None while there is none.

        Raises:
            WireError: Its length is zero or beyond the limit.
        """
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if not 0 < length <= self._limit:
            raise WireError(f"a message of {length} bytes; the limit is {self._limit}")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return payload

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)


def encode_request(request: Request) -> bytes:
    """Returns a request as bytes for the socket.

    Raises:
        WireError: It is longer than `MAX_REQUEST`.
    """
    match request:
        case Hello():
            return _frame("hello", {}, MAX_REQUEST)
        case RunRequest():
            body = {
                "timeout": request.timeout,
                "useEmulation": request.use_emulation,
                "ignored": list(request.ignored),
                "only": list(request.only),
            }
            return _frame("run", body, MAX_REQUEST)


def encode_reply(reply: Reply) -> bytes:
    """Returns a reply as bytes for the socket.

    Raises:
        WireError: It is longer than `MAX_REPLY`.
    """
    match reply:
        case Welcome():
            body = {"agentVersion": reply.agent_version, "checks": reply.checks, "stuck": reply.stuck}
            return _frame("welcome", body, MAX_REPLY)
        case Answer():
            return _frame("answer", {"report": reply.report.to_dict()}, MAX_REPLY)
        case Refusal():
            return _frame("refusal", {"reason": reply.reason}, MAX_REPLY)
        case DeviceChange():
            return _frame("device", {"change": reply.change}, MAX_REPLY)


def decode_request(payload: bytes) -> Request:
    """Reads a request, trusting nothing in it.

    Raises:
        WireError: It is not understood: junk, another version, an unknown type, a wrong field.
    """

    def read(kind: str, fields: Fields, _: Mapping[str, object]) -> Request:
        match kind:
            case "hello":
                return Hello()
            case "run":
                return RunRequest(
                    timeout=fields.number("timeout", minimum=MIN_SECONDS, maximum=MAX_SECONDS),
                    use_emulation=fields.flag("useEmulation"),
                    ignored=_names(fields, "ignored"),
                    only=_names(fields, "only"),
                )
        raise _unknown(kind)

    return _understand(payload, read)


def decode_reply(payload: bytes) -> Reply:
    """Reads a reply, trusting nothing in it.

    Raises:
        WireError: It is not understood: junk, another version, an unknown type, a wrong field.
    """

    def read(kind: str, fields: Fields, message: Mapping[str, object]) -> Reply:
        match kind:
            case "welcome":
                return Welcome(
                    fields.text("agentVersion", MAX_NAME),
                    fields.integer("checks", minimum=0, maximum=MAX_COUNT),
                    fields.integer("stuck", minimum=0, maximum=MAX_COUNT),
                )
            case "answer":
                return Answer(report_from_dict(message.get("report")))
            case "refusal":
                return Refusal(fields.text("reason"))
            case "device":
                return DeviceChange(fields.text("change"))
        raise _unknown(kind)

    return _understand(payload, read)


def _understand(payload: bytes, read: Callable[[str, Fields, Mapping[str, object]], Message]) -> Message:
    try:
        # RecursionError: a thousand nested brackets; UnicodeDecodeError is a ValueError.
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError("not a JSON object") from error
    try:
        fields = Fields(message)
        version = fields.integer("version", minimum=0, maximum=MAX_COUNT)
        if version != VERSION:
            raise WireError(f"version {version} of the protocol; version {VERSION} is spoken here")
        kind = fields.text("type", MAX_NAME)
        return read(kind, fields, message)
    except FieldError as error:
        raise WireError(str(error)) from error


def _unknown(kind: str) -> WireError:
    return WireError(f"unknown type of message {kind[:80]!r}")


def _names(fields: Fields, key: str) -> tuple[str, ...]:
    names = []
    for name in fields.sequence(key, MAX_RESULTS):
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise fields.error(key, "an item that is no name of a check")
        names.append(name)
    return tuple(names)


def _frame(kind: str, body: Mapping[str, object], limit: int) -> bytes:
    payload = json.dumps({"version": VERSION, "type": kind, **body}, separators=(",", ":")).encode()
    if len(payload) > limit:
        raise WireError(f"a message of {len(payload)} bytes; the limit is {limit}")
    return _LENGTH.pack(len(payload)) + payload
