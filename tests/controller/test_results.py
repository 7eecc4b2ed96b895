"""What is kept of a node's answer."""

import json

import pytest

from controller.results import MAX_NODE, MAX_RESULTS, MAX_TEXT, preflight


def answer(*results: object) -> dict[str, object]:
    return {"metadata": {"name": "a"}, "status": {"runID": "r", "passed": True, "results": list(results)}}


PASS = {"checkName": "KVM", "status": "Pass", "passed": True, "reason": "GuestRan", "message": "it ran"}
WARN = {**PASS, "status": "Warn", "message": "m", "hint": "h", "durationSeconds": 1.5, "evidence": {"a": "b"}}


def kept(*results: object) -> tuple[object, ...]:
    status = preflight(answer(*results)).status
    assert status is not None
    return status.results


def test_a_clean_pass_keeps_no_text_and_is_shared():
    (one,), (other,) = kept(PASS), kept({**PASS, "message": "ran too", "hint": "x"})
    assert one == {"checkName": "KVM", "status": "Pass", "passed": True, "reason": "GuestRan"}
    assert one is other


def test_whatever_else_keeps_what_a_check_shows():
    assert kept(WARN) == (
        {
            "checkName": "KVM",
            "status": "Warn",
            "passed": True,
            "reason": "GuestRan",
            "message": "m",
            "hint": "h",
        },
    )


@pytest.mark.parametrize("junk", [{}, {"checkName": 1, "passed": "true", "reason": [], "message": {}}])
def test_nonsense_passes_nothing(junk: dict[str, object]):
    assert kept(junk, "junk", None) == ({"checkName": "", "status": "", "passed": False, "reason": ""},)


def test_text_without_end_is_bounded():
    huge = {**WARN, "passed": False, "status": "Fail", "message": "m" * 16384, "hint": "h" * 16384}
    results = kept(*([huge] * 600))
    assert len(results) == MAX_RESULTS
    assert len(json.dumps(results)) < MAX_NODE + MAX_RESULTS * 200
    first = results[0]
    assert isinstance(first, dict)
    assert (first["message"], first["hint"]) == ("m" * MAX_TEXT, "h" * MAX_TEXT)
    assert results[-1] == {"checkName": "KVM", "status": "Fail", "passed": False, "reason": "GuestRan"} | {
        "message": "",
        "hint": "",
    }


def test_no_status_is_none():
    assert preflight({"metadata": {"name": "a"}}).status is None
