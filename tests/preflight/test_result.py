import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.result import (
    MAX_EVIDENCE,
    MAX_TEXT,
    Result,
    Status,
    failing,
    one_line,
    passing,
    skipping,
    unknown,
    warning,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("  two\n\tlines \r\n", "two lines"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("nul\x00", "nul\ufffd"),
        ("lone \udc80 surrogate", "lone \ufffd surrogate"),
        ("right\u202eto left", "right\ufffdto left"),
        ("Prüfung ✓", "Prüfung ✓"),
        ("", ""),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_one_line_cuts_what_is_too_long() -> None:
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"
    assert one_line("x" + " " * 100, 4) == "x…"
    assert len(one_line("x" * 100_000_000)) == MAX_TEXT


@given(st.text(), st.integers(min_value=1, max_value=20))
def test_one_line_is_printable_short_and_stays_as_it_is(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert line.isprintable()
    assert len(line) <= limit
    assert one_line(line, limit) == line
    assert line.encode().decode() == line


@pytest.mark.parametrize(
    ("outcome", "status", "hint"),
    [
        (passing("A"), Status.PASS, None),
        (warning("A", hint="b"), Status.WARN, "b"),
        (failing("A", hint="b"), Status.FAIL, "b"),
        (skipping("A"), Status.SKIP, None),
        (unknown("A", hint="b"), Status.UNKNOWN, "b"),
    ],
)
def test_an_outcome_makes_findings(outcome, status, hint) -> None:
    finding = outcome("what\ncame back", evidence={"/dev/kvm\n": "10:232\x07"})
    assert finding.outcome is outcome
    assert finding.outcome.status is status
    assert finding.message == "what came back"
    assert finding.hint == hint
    assert finding.evidence == {"/dev/kvm": "10:232\ufffd"}


def test_a_finding_can_have_a_hint_of_its_own() -> None:
    outcome = failing("A", hint="in general")
    assert outcome("m", hint="mknod /dev/kvm c 10 232").hint == "mknod /dev/kvm c 10 232"
    assert outcome("m", hint="").hint == "in general"


def test_evidence_has_an_end() -> None:
    finding = passing("A")("m", evidence={str(number): "x" for number in range(MAX_EVIDENCE + 1)})
    assert len(finding.evidence) == MAX_EVIDENCE


def test_findings_of_one_outcome_share_no_evidence() -> None:
    outcome = passing("A")
    first, second = outcome("m"), outcome("m")
    assert first.evidence is not second.evidence


def test_a_result_on_the_wire() -> None:
    result = Result("KVM", Status.WARN, True, "DeviceMissing", "m", "h", {"a": "b"}, 0.00123456789)
    assert result.to_dict() == {
        "checkName": "KVM",
        "status": "Warn",
        "passed": True,
        "reason": "DeviceMissing",
        "message": "m",
        "hint": "h",
        "evidence": {"a": "b"},
        "durationSeconds": 0.001235,
    }
    assert list(Result("KVM", Status.PASS, True, "GuestRan", "m").to_dict()) == [
        "checkName",
        "status",
        "passed",
        "reason",
        "message",
        "durationSeconds",
    ]


def test_a_hint_of_white_space_is_none() -> None:
    outcome = failing("DeviceMissing", hint="modprobe kvm")
    assert outcome("no device", hint=" \n").hint == "modprobe kvm"
