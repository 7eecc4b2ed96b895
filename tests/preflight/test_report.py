import contextlib
import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preflight.report import FieldError, Mode, Report, report_from_dict
from preflight.result import Result, Status

RESULT = Result("KVM", Status.PASS, True, "GuestRan", "a guest ran", None, {"/dev/kvm": "10:232"}, 0.002)
REPORT = Report(
    node="worker-1",
    passed=True,
    mode=Mode.HARDWARE,
    results=(RESULT,),
    start_time="2026-01-02T03:04:05.000006Z",
    completion_time="2026-01-02T03:04:06Z",
    kernel_version="6.18.0",
    architecture="x86_64",
    agent_version="0.1.0",
    boot_id="0b1d",
)


def test_the_wire_form() -> None:
    assert REPORT.to_dict() == {
        "apiVersion": "kubevm.io/v1alpha1",
        "kind": "PreflightReport",
        "node": "worker-1",
        "passed": True,
        "mode": "Hardware",
        "results": [RESULT.to_dict()],
        "startTime": "2026-01-02T03:04:05.000006Z",
        "completionTime": "2026-01-02T03:04:06Z",
        "kernelVersion": "6.18.0",
        "architecture": "x86_64",
        "agentVersion": "0.1.0",
        "bootID": "0b1d",
    }
    short = REPORT._replace(mode=None, boot_id="").to_dict()
    assert "mode" not in short
    assert "bootID" not in short


def test_a_report_comes_back_as_it_was_sent() -> None:
    assert report_from_dict(json.loads(json.dumps(REPORT.to_dict()))) == REPORT


names = st.from_regex(r"[A-Z][A-Za-z0-9]{0,10}", fullmatch=True)
printable = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
results = st.builds(
    lambda name, pair, reason, message, hint, evidence, seconds: Result(
        name, pair[0], pair[1], reason, message, hint, evidence, seconds
    ),
    names,
    st.sampled_from(
        [
            (Status.PASS, True),
            (Status.WARN, True),
            (Status.SKIP, True),
            (Status.FAIL, False),
            (Status.UNKNOWN, True),
            (Status.UNKNOWN, False),
        ]
    ),
    names,
    printable,
    st.none() | printable.filter(bool),
    st.dictionaries(printable, printable, max_size=3),
    st.integers(0, 10**9).map(lambda micro: micro / 10**6),
)
reports = st.lists(results, max_size=4, unique_by=lambda result: result.check_name).map(
    lambda items: REPORT._replace(
        results=tuple(items), passed=bool(items) and all(item.passed for item in items)
    )
)


@settings(max_examples=50)
@given(reports)
def test_any_report_comes_back_as_it_was_sent(report: Report) -> None:
    assert report_from_dict(json.loads(json.dumps(report.to_dict()))) == report


LEFT_OUT = object()


def altered(path: tuple[str | int, ...], value: object) -> dict[str, object]:
    wire = copy.deepcopy(REPORT.to_dict())
    here = wire
    for key in path[:-1]:
        here = here[key]  # type: ignore[index]  # JSON
    if value is LEFT_OUT:
        del here[path[-1]]
    else:
        here[path[-1]] = value
    return wire


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("apiVersion",), "v1", "apiVersion: not kubevm.io/v1alpha1"),
        (("kind",), "Pod", "kind: not PreflightReport"),
        (("kind",), LEFT_OUT, "kind: missing"),
        (("node",), 7, "node: a number in place of a string"),
        (("node",), "a\nb", "node: not one line of printable text"),
        (("node",), "\x1b[2J", "node: not one line of printable text"),
        (("node",), "x" * 254, "node: 254 characters, more than 253"),
        (("passed",), 1, "passed: a number in place of a boolean"),
        (("passed",), "true", "passed: a string in place of a boolean"),
        (("passed",), False, "passed: contradicts the results"),
        (("mode",), "Turbo", "mode: 'Turbo' is none of Hardware, Emulation, None"),
        (("mode",), None, "mode: null in place of a string"),
        (("results",), {}, "results: an object in place of a list"),
        (("results",), [], "passed: contradicts the results"),
        (("results",), [RESULT.to_dict()] * 257, "results: 257 items, more than 256"),
        (("results",), [RESULT.to_dict()] * 2, "results: a check stands there twice"),
        (("results", 0), [], "results[0]: a list in place of an object"),
        (("results", 0, "checkName"), "kvm", "results[0].checkName: 'kvm' does not match"),
        (("results", 0, "checkName"), "K" * 64, "results[0].checkName: 'KKKK"),
        (("results", 0, "status"), "pass", "results[0].status: 'pass' is none of Pass, Warn,"),
        (("results", 0, "status"), "Fail", "results[0].passed: contradicts the status Fail"),
        (("results", 0, "status"), [], "results[0].status: a list in place of a string"),
        (("results", 0, "passed"), False, "results[0].passed: contradicts the status Pass"),
        (("results", 0, "reason"), "no reason", "results[0].reason: 'no reason' does not match"),
        (("results", 0, "message"), "x" * 2049, "results[0].message: 2049 characters, more than 2048"),
        (("results", 0, "message"), LEFT_OUT, "results[0].message: missing"),
        (("results", 0, "hint"), None, "results[0].hint: null in place of a string"),
        (("results", 0, "evidence"), [], "results[0].evidence: a list in place of an object"),
        (("results", 0, "evidence"), {"a": 1}, "results[0].evidence.a: a number in place of a string"),
        (("results", 0, "evidence"), {"a\n": ""}, "results[0].evidence: a key that is no short line"),
        (("results", 0, "evidence"), {"a" * 257: ""}, "results[0].evidence: a key that is no short line"),
        (
            ("results", 0, "evidence"),
            {str(number): "" for number in range(65)},
            "results[0].evidence: 65 entries, more than 64",
        ),
        (("results", 0, "durationSeconds"), -1, "results[0].durationSeconds: not a number from 0 to"),
        (("results", 0, "durationSeconds"), float("nan"), "results[0].durationSeconds: not a number from"),
        (("results", 0, "durationSeconds"), 10**400, "results[0].durationSeconds: not a number from 0"),
        (("results", 0, "durationSeconds"), True, "results[0].durationSeconds: a boolean in place of"),
        (("startTime",), "yesterday", "startTime: 'yesterday' does not match"),
        (("startTime",), "2026-01-02T03:04:05+01:00", "startTime: '2026-01-02T03:04:05+01:00' does"),
        (("completionTime",), 12, "completionTime: a number in place of a string"),
        (("bootID",), {}, "bootID: an object in place of a string"),
    ],
)
def test_what_is_wrong_is_refused_and_named(
    path: tuple[str | int, ...], value: object, complaint: str
) -> None:
    with pytest.raises(FieldError) as caught:
        report_from_dict(altered(path, value))
    assert str(caught.value).startswith(complaint)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("wire", [None, [], "report", 3, {}])
def test_what_is_no_report_is_refused(wire: object) -> None:
    with pytest.raises(FieldError):
        report_from_dict(wire)


def test_unknown_fields_are_left_out() -> None:
    assert report_from_dict({**REPORT.to_dict(), "colour": ["blue"]}) == REPORT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(sorted(REPORT.to_dict()))
result_fields = st.sampled_from(sorted(RESULT.to_dict()))


@settings(max_examples=100)
@given(
    st.one_of(
        st.builds(lambda field, value: altered((field,), value), fields, json_values),
        st.builds(lambda field, value: altered(("results", 0, field), value), result_fields, json_values),
        json_values,
    )
)
def test_junk_is_refused_or_read_and_nothing_else(wire: object) -> None:
    with contextlib.suppress(FieldError):
        report = report_from_dict(wire)
        assert report_from_dict(report.to_dict()) == report
