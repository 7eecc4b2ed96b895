"""What an executable says: words, never the answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.executable import BY_STATUS, finding
from preflight.plugin_output import MAX_MESSAGE, Said, parse
from preflight.program import Ended
from preflight.report import NAME
from preflight.result import MAX_TEXT, Status, one_line


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (b"", Said("")),
        (b" \n\n", Said("")),
        (b"all well\n", Said("all well")),
        (b"\n  first\nsecond\n", Said("first")),
        (b"a\tb\r\n", Said("a b")),
        (b"\x1b[31mred\x1b[0m", Said("\ufffd[31mred\ufffd[0m")),
        (b"gr\xfc\xdfe", Said("gr\ufffd\ufffde")),
        (b"x" * 5000, Said("x" * (MAX_MESSAGE - 3) + "…")),
        ("ü".encode() * 5000, Said("ü" * 510 + "…")),
        (
            b'{"reason": "DiskWorn", "message": "98 %", "hint": "smartctl -a /dev/sda"}\n',
            Said("98 %", "DiskWorn", "smartctl -a /dev/sda"),
        ),
        (b'\n{\n "message": "two\\nlines"\n}\n', Said("two lines")),
        (b"{}", Said("")),
        (b'{"reason": null, "message": null, "hint": null, "more": [1]}', Said("")),
        (b'{"message": "\\ud800"}', Said("\ufffd")),
        (
            b'{"reason": "disk worn", "message": "m"}',
            Said("m", complaint="reason 'disk worn' is no CamelCase word of at most 63 characters"),
        ),
        (b'{"reason": 5, "message": ["m"]}', Said("", complaint="reason is no text; message is no text")),
        (b'{"hint": {}}', Said("", complaint="hint is no text")),
        (b"{sda,sdb} are fine", Said("{sda,sdb} are fine", complaint="begins like JSON and is none: ")),
        (
            b'{"message": "a"}\n{"message": "b"}',
            Said('{"message": "a"}', complaint="begins like JSON and is none: "),
        ),
        (b'{"message": "\xff"}', Said('{"message": "\ufffd"}', complaint="begins like JSON and is none: ")),
        (
            b'{"a":' * 20000,
            Said('{"a":' * 204 + "{…", complaint="begins like JSON and is none: nested too deeply"),
        ),
        (
            b'{"message": 1' + b"0" * 5000 + b"}",
            Said('{"message": 1' + "0" * 1008 + "…", complaint="begins like JSON"),
        ),
    ],
)
def test_what_is_said(output: bytes, said: Said) -> None:
    found = parse(output)
    assert found.complaint.startswith(said.complaint)
    assert bool(found.complaint) is bool(said.complaint)
    assert found._replace(complaint="") == said._replace(complaint="")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
words = st.dictionaries(st.sampled_from(["reason", "message", "hint", "more"]), json_values, max_size=4)
outputs = st.one_of(
    st.binary(max_size=300),
    words.map(json.dumps).map(str.encode),
    st.tuples(words.map(json.dumps).map(str.encode), st.binary(max_size=9)).map(b"".join),
)


@given(outputs)
def test_whatever_is_said_is_short_and_printable(output: bytes) -> None:
    said = parse(output)
    assert one_line(said.message) == said.message
    assert len(said.message.encode()) <= MAX_MESSAGE
    assert said.reason is None or NAME.fullmatch(said.reason)
    assert said.hint is None or (one_line(said.hint) == said.hint and len(said.hint) <= MAX_TEXT)
    assert said.complaint.isprintable()


@given(st.integers(-64, 255), outputs, st.binary(max_size=50), st.none() | st.just("mend it"))
def test_the_exit_status_alone_decides(status: int, output: bytes, errors: bytes, hint: str | None) -> None:
    found = finding("/plugins/disk", "/", Ended(status, output, errors), hint)
    expected = BY_STATUS[status].status if 0 <= status < len(BY_STATUS) else Status.UNKNOWN
    assert found.outcome.status is expected
    assert NAME.fullmatch(found.outcome.reason)
    assert found.message
    assert found.hint or expected not in (Status.FAIL, Status.UNKNOWN)
