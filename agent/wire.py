"""Messages between agent and probe on a stream socket: length-limited, versioned, encoded and decoded purely.

A message is one JSON object (`preflight.framing`) that names the protocol's version and its own type. The
agent greets and gets a `Welcome`; each `RunRequest` gets one `Answer` or `Refusal`; a `DeviceChange` may come
at any time after the welcome. Whoever sends what is not understood is told why and cut off: nothing that
follows can be trusted.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from preflight import framing
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


def decode_request(message: object) -> Request:
    """Reads a request, trusting nothing in it.

    Raises:
        WireError: It is not understood: another version, an unknown type, a wrong field.
    """

    def read(kind: str, fields: Fields) -> Request:
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

    return _understand(message, read)


def decode_reply(message: object) -> Reply:
    """Reads a reply, trusting nothing in it.

    Raises:
        WireError: It is not understood: another version, an unknown type, a wrong field.
    """

    def read(kind: str, fields: Fields) -> Reply:
        match kind:
            case "welcome":
                return Welcome(
                    fields.text("agentVersion", MAX_NAME),
                    fields.integer("checks", minimum=0, maximum=MAX_COUNT),
                    fields.integer("stuck", minimum=0, maximum=MAX_COUNT),
                )
            case "answer":
                return Answer(report_from_dict(fields.value("report")))
            case "refusal":
                return Refusal(fields.text("reason"))
            case "device":
                return DeviceChange(fields.text("change"))
        raise _unknown(kind)

    return _understand(message, read)


def _understand(message: object, read: Callable[[str, Fields], Message]) -> Message:
    try:
        fields = Fields(message)
        version = fields.integer("version", minimum=0, maximum=MAX_COUNT)
        if version != VERSION:
            raise WireError(f"version {version} of the protocol; version {VERSION} is spoken here")
        return read(fields.text("type", MAX_NAME), fields)
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
    try:
        return framing.encode({"version": VERSION, "type": kind, **body}, limit)
    except framing.FramingError as error:
        raise WireError(str(error)) from error
