"""What one process of ours reads of another, and what it reads of files that people and installers write."""

import contextlib
import errno
import importlib.metadata
import json
import os
import tempfile

from inputs import Source, Target
from reports import EVERY_STATUS, report

from agent import decide, status, wire
from agent.devices import inotify_events, uevent_of_kvm
from agent.wire import WireError
from cluster.node_preflight import from_object
from preflight import config, distributions, exec_error, plugin_directory, plugin_output
from preflight.check import Check, Weight
from preflight.child import Answer, accept, decode_answer, encode_answer
from preflight.config import ConfigError
from preflight.declaration import fault_of
from preflight.discovery import classify, discover
from preflight.distributions import EntryPoint
from preflight.executable import finding
from preflight.fields import FieldError
from preflight.framing import Decoder, FramingError, encode
from preflight.ordering import unused_name
from preflight.outcomes import RUNNER_OUTCOMES
from preflight.program import Ended
from preflight.report import NAME, Report, report_from_dict
from preflight.result import MAX_EVIDENCE, MAX_KEY, MAX_SECONDS, MAX_TEXT, Finding, Status, one_line

LIMIT = 200
CHECKS = tuple(check for check in discover() if check.function.__module__.startswith("checks."))
GROUP = "vm_preflight.checks"


def is_line(text: str, limit: int = MAX_TEXT) -> bool:
    """Whether text is one line that can be printed."""
    return len(text) <= limit and text.isprintable()


def put_on_one_line(data: bytes) -> None:
    """Whatever text is given, one printable line of bounded length comes out, and stays as it is."""
    source = Source(data)
    limit = source.below(40) + 1
    line = one_line(source.rest().decode("utf-8", "surrogateescape"), limit)
    assert is_line(line, limit)
    assert one_line(line, limit) == line
    line.encode()


def decode_frames(data: bytes) -> None:
    """However a stream is cut, the same messages come out, then the same error; at most one is held."""
    outcomes = []
    for cuts in (Source(data), Source(b"")):
        stream, decoder, error = data, Decoder(LIMIT), ""
        found: list[str] = []
        try:
            while stream and not error:
                size = cuts.below(9) + 1 if cuts.left else len(stream)
                chunk, stream = stream[:size], stream[size:]
                found.extend(map(repr, decoder.feed(chunk)))
        except FramingError as failure:
            error = str(failure)
            assert is_line(error)
        else:
            assert decoder.partial or len(found) * 4 <= len(data)
            assert len(decoder._buffer) < LIMIT + 4
        outcomes.append((found, error))
    assert outcomes[0] == outcomes[1]


def encode_frames(data: bytes) -> None:
    """What JSON can hold comes out as it went in; what is too long, or no Unicode, is refused."""
    source = Source(data)
    message = source.json(("check", "message"))
    try:
        frame = encode(message, LIMIT)
    except FramingError:
        return
    assert len(frame) <= LIMIT + 4
    (decoded,) = Decoder(LIMIT).feed(frame)
    assert repr(decoded) == repr(message)


KEYS = (
    "version",
    "type",
    "timeout",
    "useEmulation",
    "ignored",
    "only",
    "report",
    "reason",
    "change",
    "agentVersion",
)
REPORT = report(*EVERY_STATUS)._replace(boot_id="b")
RUN = {"version": 1, "type": "run", "timeout": 5, "useEmulation": False, "ignored": ["KVM"], "only": []}
REPLIES = (
    {"version": 1, "type": "welcome", "agentVersion": "0.1.0", "checks": 7, "stuck": 1},
    {"version": 1, "type": "refusal", "reason": "unknown"},
    {"version": 1, "type": "device", "change": "/dev/kvm deleted"},
    {"version": 1, "type": "answer", "report": REPORT.to_dict()},
)


def decode_requests(data: bytes) -> None:
    """A request is read, or refused in one line; what is read is within bounds, and survives the way back."""
    sent = Source(data).spoil(RUN, KEYS)
    try:
        request = wire.decode_request(sent)
    except WireError as error:
        assert is_line(str(error), 4 * MAX_TEXT)
        return
    if isinstance(request, wire.RunRequest):
        assert 0 < request.timeout <= wire.MAX_SECONDS
        assert all(NAME.fullmatch(name) for name in (*request.ignored, *request.only))
    (back,) = Decoder(wire.MAX_REQUEST).feed(wire.encode_request(request))
    assert wire.decode_request(back) == request


def decode_replies(data: bytes) -> None:
    """A reply is read, or refused in one line; what is read survives the way back."""
    source = Source(data)
    sent = source.spoil(source.pick(REPLIES), KEYS)
    try:
        reply = wire.decode_reply(sent)
    except WireError as error:
        assert is_line(str(error), 4 * MAX_TEXT)
        return
    encoded = wire.encode_reply(reply)
    (back,) = Decoder(wire.MAX_REPLY).feed(encoded)
    assert wire.encode_reply(wire.decode_reply(back)) == encoded
    if isinstance(reply, wire.Answer):
        publish(reply.report)


def hostile_report(source: Source) -> Report | None:
    """Returns a report as another process may have sent it, None where it was refused, as it should be."""
    sent = source.spoil(
        REPORT.to_dict(), ("results", "passed", "status", "message", "hint", "evidence", "startTime")
    )
    try:
        return report_from_dict(sent)
    except FieldError as error:
        assert is_line(str(error), 4 * MAX_TEXT)
        return None


def publish(read: Report) -> None:
    """A report that was accepted can be published, and says in the cluster what it said here."""
    assert not read.passed or (read.results and all(result.passed for result in read.results))
    patch = status.patch(read, "run")
    json.dumps(patch, allow_nan=False).encode()
    published = from_object({"metadata": {"name": "n"}, **patch})
    assert decide.published_verdict(published.status) == decide.verdict_of(read)


def decode_reports(data: bytes) -> None:
    """A report is read or refused; no node passes against its results; what is read can be published."""
    read = hostile_report(Source(data))
    if read is not None:
        assert report_from_dict(read.to_dict()).to_dict() == read.to_dict()
        publish(read)


def decode_findings(data: bytes) -> None:
    """A finding from a check's process is one of the check's outcomes with text of a fit size, or refused."""
    source = Source(data)
    check = source.pick(CHECKS)
    sent = {
        "check": check.name,
        "outcome": source.below(40),
        "message": "m",
        "hint": "h",
        "evidence": {"p": "v"},
        "seconds": 0.1,
    }
    try:
        answer = decode_answer(check, source.spoil(sent, tuple(sent)))
    except FieldError as error:
        assert is_line(str(error), 4 * MAX_TEXT)
        return
    finding = answer.finding
    assert finding.outcome in (*check.outcomes, *RUNNER_OUTCOMES)
    assert is_line(finding.message)
    assert finding.hint is None or is_line(finding.hint)
    assert len(finding.evidence) <= MAX_EVIDENCE
    assert all(is_line(key, MAX_KEY) and is_line(value) for key, value in finding.evidence.items())
    assert 0 <= answer.seconds <= MAX_SECONDS


def write_findings(data: bytes) -> None:
    """Whatever text a check puts into a finding, the runner gets it, cut to a fit size."""
    source = Source(data)
    check = source.pick(CHECKS)

    def some() -> str:
        return source.pick((source.text(30), " \n", "\x1b[31m")) * source.pick((1, 1, 2, 500, 3000))

    evidence = {some(): some() for _ in range(source.below(100))}
    returned = Finding(source.pick(check.outcomes), some(), source.pick((None, some())), evidence)
    finding = accept(check, returned)
    assert finding.outcome is returned.outcome
    (message,) = Decoder().feed(encode_answer(check, Answer(finding, 0.5)))
    assert decode_answer(check, message) == Answer(finding, 0.5)
    assert finding.hint or finding.outcome.status not in (Status.FAIL, Status.UNKNOWN)


def read_config(data: bytes) -> None:
    """A configuration is read with every value in its bounds, or refused in one line that names the file."""
    try:
        read = config.parse(data, CHECKS, "f.toml")
    except ConfigError as error:
        assert str(error).startswith("f.toml: ")
        assert is_line(str(error))
        return
    known = {check.name: check for check in CHECKS}
    assert set(read.only) | set(read.ignore) | set(read.weights) | set(read.timeouts) | set(
        read.settings
    ) <= set(known)
    for seconds in (*read.timeouts.values(), *([] if read.timeout is None else [read.timeout])):
        assert 0 < seconds <= MAX_SECONDS
    assert all(isinstance(weight, Weight) for weight in read.weights.values())
    for check in CHECKS:
        thresholds = read.thresholds(check)
        assert set(thresholds) == {setting.name for setting in check.settings}
        for setting in check.settings:
            assert type(thresholds[setting.name]) is type(setting.default)


def read_entry_points(data: bytes) -> None:
    """The entry points of a group are those that importlib.metadata reads, where it can."""
    text = data.decode("utf-8", "replace")
    found = list(distributions.parse(text, GROUP))
    try:
        expected = [
            (point.name, point.value)
            for point in importlib.metadata.EntryPoints._from_text(text)  # type: ignore[attr-defined]  # private
            if point.group == GROUP
        ]
    except (TypeError, AttributeError, ValueError):
        return
    assert found == expected


def find_plugins(data: bytes) -> None:
    """An entry point that leads nowhere becomes a check of its own that blocks and says who is to blame."""
    source = Source(data)
    point = EntryPoint(
        source.text(), f"no_such_module{source.pick(('', ':', '.', ' : x'))}{source.text(80)}", source.text()
    )
    check = classify(point)
    assert isinstance(check, Check)
    assert fault_of(check) is None
    assert check.weight is Weight.BLOCKING
    assert NAME.fullmatch(unused_name(source.text(), {check.name: point}))


def read_plugin_output(data: bytes) -> None:
    """The exit status alone decides how an executable ended; what it says is text of bounded length."""
    source = Source(data)
    status = source.pick((0, 1, 2, 3, 4, 255, -9, -11, -64))
    errors = source.take(source.below(30))
    found = finding("/p/x", "/", Ended(status, source.rest(), errors), source.pick((None, "do this")))
    by_status = {0: Status.PASS, 1: Status.FAIL, 2: Status.WARN, 3: Status.SKIP}
    assert found.outcome.status is by_status.get(status, Status.UNKNOWN)
    assert NAME.fullmatch(found.outcome.reason)
    assert is_line(found.message)
    assert found.hint or found.outcome.status not in (Status.FAIL, Status.UNKNOWN)
    assert all(is_line(key) and is_line(value) for key, value in found.evidence.items())


def explain_exec_errors(data: bytes) -> None:
    """Why an executable did not start is told in one line, whatever it holds."""
    for number in (errno.ENOENT, errno.ENOEXEC, errno.EACCES, errno.E2BIG, 0):
        told = exec_error.meaning(number, data)
        assert told
        assert is_line(told, 2 * MAX_TEXT)


def read_plugin_files(data: bytes) -> None:
    """Of a plugin directory with anything in it come checks whose declarations hold, and no exception."""
    source = Source(data)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        for name in ("a.toml", "b.sh", "b.toml", "c"):
            if source.below(2):
                path = os.path.join(directory, name)
                with open(path, "wb") as file:
                    file.write(source.words(PLUGIN_LINES) + b"\n" + source.words(PLUGIN_LINES))
                os.chmod(path, source.pick((0o755, 0o644, 0o777, 0o000)))
        for check, path in plugin_directory.find(directory):
            assert fault_of(check) is None
            assert path.startswith(directory)


PLUGIN_LINES = (
    *(b'name = "Disk"', b'weight = "advisory"', b"timeout = 2.5", b'question = "Is it?"', b'hint = "do"'),
    *(b'name = "x y"', b"timeout = nan", b"weight = 3", b"[checks]", b"name = 7", b"#!/bin/sh", b"other = 1"),
)


def read_uevents(data: bytes) -> None:
    """Only the arrival or departure of KVM's own misc device is an event."""
    action = uevent_of_kvm(data)
    if action is not None:
        assert action in ("add", "remove")
        assert {b"SUBSYSTEM=misc", b"DEVNAME=kvm", b"ACTION=" + action.encode()} <= set(data.split(b"\0"))


def read_inotify(data: bytes) -> None:
    """However long the kernel says that a name is, reading ends, and each event takes at least its header."""
    events = list(inotify_events(data))
    assert len(events) <= len(data) // 16
    assert all(0 <= mask < 1 << 32 and "\0" not in name[-1:] for mask, name in events)


TOML = b"""[run]
only = ["KVM", "Tun"]
ignore = ["VhostNet"]
timeout = 30

[checks.Memory]
weight = "advisory"
timeout = 2.5
minimum_bytes = 4_294_967_296
"""
MESSAGES: tuple[object, ...] = ({"a": 1}, [], "x", None)
FRAMES = b"".join(map(encode, MESSAGES))

UEVENTS = (
    b"add@/devices/virtual/misc/kvm\0ACTION=add\0SUBSYSTEM=misc\0DEVNAME=kvm\0",
    b"SUBSYSTEM=misc\0DEVNAME=kvm\0ACTION=change\0",
)
POINTS = f"[{GROUP}]\nDisk = acme.disk:disk\nFan=acme.fan : fan [x]\n# c\n[other]\na = b\n".encode()


def read_frames(data: bytes) -> None:
    """Reads a stream to its end or its fault."""
    with contextlib.suppress(FramingError):
        list(Decoder().feed(data))


def read_toml(data: bytes) -> None:
    """Reads a configuration or refuses it."""
    with contextlib.suppress(ConfigError):
        config.parse(data, CHECKS, "f.toml")


TARGETS = (
    Target(
        "one-line",
        put_on_one_line,
        (b"\x20a b\x1b[31mc\n", b"\x05" + "a\u2028b\u202e".encode()),
        lambda data: one_line(data.decode("latin-1")),
    ),
    Target(
        "frames",
        decode_frames,
        (FRAMES, FRAMES[:-3], b"\0\0\1\0" + b"[" * 256, b"\0\0\0\x02\xff\xff"),
        read_frames,
    ),
    Target("frames-written", encode_frames),
    Target("requests", decode_requests),
    Target("replies", decode_replies),
    Target("reports", decode_reports),
    Target("findings", decode_findings),
    Target("findings-written", write_findings, suite=50),
    Target(
        "config",
        read_config,
        (TOML, b"[checks.KVM]\ntimeout = nan\n", b"[run]\ntimeout = 1e999\n"),
        read_toml,
    ),
    Target(
        "entry-points",
        read_entry_points,
        (POINTS,),
        lambda data: list(distributions.parse(data.decode("latin-1"), GROUP)),
    ),
    Target("plugins", find_plugins, (), lambda data: unused_name(data.decode("latin-1"), {})),
    Target(
        "plugin-output",
        read_plugin_output,
        (b'\0\0{"reason": "Worn", "message": "m", "hint": "h"}', b"\0\0text"),
        plugin_output.parse,
    ),
    Target("exec-errors", explain_exec_errors, (b"#!/bin/sh\r\n", b"#! ", b"\x7fELF\2\1\1")),
    Target("plugin-files", read_plugin_files, suite=50),
    Target("uevents", read_uevents, UEVENTS, uevent_of_kvm),
    Target(
        "inotify",
        read_inotify,
        (b"\1\0\0\0\0\1\0\0\0\0\0\0\x10\0\0\0kvm" + bytes(13),),
        lambda data: list(inotify_events(data)),
    ),
)
"""Everything that comes out of a process that may be hostile, or from a file that a person writes."""
