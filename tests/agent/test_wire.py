"""Messages survive the wire, and whatever else comes in is refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import report

from agent import wire
from agent.wire import (
    MAX_REPLY,
    MAX_REQUEST,
    VERSION,
    Answer,
    DeviceChange,
    Hello,
    Refusal,
    Reply,
    Request,
    RunRequest,
    Welcome,
    WireError,
)
from preflight.framing import Decoder
from preflight.result import Result, Status

REPORT = report(
    Result("KVM", Status.FAIL, False, "DeviceMissing", "no /dev/kvm", "mknod ü", {"/dev/kvm": "ENOENT"}, 0.5),
    Result("Tun", Status.PASS, True, "Available", "/dev/net/tun opens"),
)._replace(boot_id="b")

NAMES = st.lists(st.from_regex(r"[A-Z][A-Za-z0-9]{0,62}", fullmatch=True), max_size=5).map(tuple)
REQUESTS = st.one_of(
    st.just(Hello()),
    st.builds(RunRequest, st.floats(0.001, 3600), st.booleans(), NAMES, NAMES),
)
REPLIES: tuple[Reply, ...] = (
    Welcome("0.1.0", 7, 1),
    Answer(REPORT),
    Refusal("unknown type of message 'x'"),
    DeviceChange("/dev/kvm deleted"),
)


def received(frame: bytes) -> object:
    """Returns what the other side makes of a frame."""
    (message,) = Decoder(MAX_REPLY).feed(frame)
    return message


def message(**fields: object) -> object:
    return {"version": VERSION, **fields}


@given(REQUESTS)
def test_request_comes_out_as_it_went_in(request: Request) -> None:
    assert wire.decode_request(received(wire.encode_request(request))) == request


@pytest.mark.parametrize("reply", REPLIES)
def test_reply_comes_out_as_it_went_in(reply: Reply) -> None:
    assert wire.decode_reply(received(wire.encode_reply(reply))) == reply


RUN = {"type": "run", "timeout": 5, "useEmulation": False, "ignored": [], "only": []}


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("GET / HTTP/1.1", "what was sent: a string in place of an object"),
        (None, "what was sent: null in place of an object"),
        ([1], "what was sent: a list in place of an object"),
        ({}, "version: missing"),
        ({"version": True}, "version: a boolean in place of a whole number"),
        ({"version": 2, "type": "run"}, "version 2 of the protocol; version 1 is spoken here"),
        (message(), "type: missing"),
        (message(type=5), "type: a number in place of a string"),
        (message(type="reboot"), "unknown type of message 'reboot'"),
        (message(type="welcome"), "unknown type of message 'welcome'"),
        (message(**{**RUN, "timeout": "5"}), "timeout: a string in place of a number"),
        (message(**{**RUN, "timeout": float("nan")}), "timeout: not a number from 0.001 to 3600"),
        (message(**{**RUN, "timeout": 10**400}), "timeout: not a number from 0.001 to 3600"),
        (message(**{**RUN, "timeout": -1}), "timeout: not a number from 0.001 to 3600"),
        (message(**{**RUN, "useEmulation": 1}), "useEmulation: a number in place of a boolean"),
        (message(**{**RUN, "ignored": "KVM"}), "ignored: a string in place of a list"),
        (message(**{**RUN, "ignored": ["../x"]}), "ignored: an item that is no name of a check"),
        (message(**{**RUN, "only": [None]}), "only: an item that is no name of a check"),
        (message(**{**RUN, "only": ["A"] * 257}), "only: 257 items, more than 256"),
        (message(type="run"), "timeout: missing"),
    ],
)
def test_request_that_is_not_understood_is_refused_with_the_reason(sent: object, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        wire.decode_request(sent)
    assert str(caught.value) == reason


def test_reply_with_a_report_that_is_none_is_refused() -> None:
    for wrong in (None, [], {}, {**REPORT.to_dict(), "passed": True}, {**REPORT.to_dict(), "results": [1]}):
        with pytest.raises(WireError):
            wire.decode_reply(message(type="answer", report=wrong))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_any_value_is_refused_in_one_line(sent: object) -> None:
    for decode in (wire.decode_request, wire.decode_reply):
        with pytest.raises(WireError) as caught:
            decode(sent)
        assert "\n" not in str(caught.value)


@given(st.dictionaries(st.sampled_from([*RUN, "version", "report", "reason", "change"]), JSON, max_size=7))
def test_any_value_in_any_known_field_is_read_or_refused(fields: dict[str, object]) -> None:
    sent = {"version": VERSION, **RUN, **fields}
    try:
        request: Request | None = wire.decode_request(sent)
    except WireError:
        request = None
    assert request is None or wire.decode_request(received(wire.encode_request(request))) == request


@given(st.data())
def test_report_with_one_field_replaced_is_read_or_refused(data: st.DataObject) -> None:
    report = REPORT.to_dict()
    part = data.draw(st.sampled_from([report, *report["results"]]))  # type: ignore[misc]  # a list by construction
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JSON)
    try:
        reply: Reply | None = wire.decode_reply(message(type="answer", report=report))
    except WireError:
        reply = None
    assert reply is None or isinstance(reply, Answer)


def test_message_beyond_the_limit_is_not_sent() -> None:
    with pytest.raises(WireError, match=f"more than {MAX_REQUEST}"):
        wire.encode_request(RunRequest(1, ignored=("A" * 63,) * 2000))
    result = REPORT.results[0]._replace(message="x" * 2000)
    with pytest.raises(WireError, match=f"more than {MAX_REPLY}"):
        wire.encode_reply(Answer(REPORT._replace(results=(result,) * 5000)))
