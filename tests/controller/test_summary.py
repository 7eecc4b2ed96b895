"""Which check is the latest, and what is told of it."""

from datetime import UTC, datetime, timedelta

import pytest

from cluster.shapes import at, text
from controller.objects import Check, Memory, Meta, Runtime, WireObject
from controller.summary import last_completed, summary

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ON = Memory(enabled=True, enabled_generation=3)


def check(name: str, *, passed: bool | None = True, created: int = 0, ended: int | None = 1) -> Check:
    """A check made so many seconds after noon; its end counts from there too, None while it runs."""
    return Check(
        Meta(name, uid=f"uid-{name}", created=NOON + timedelta(seconds=created)),
        passed=passed if ended is not None else None,
        start=NOON + timedelta(seconds=created),
        completion=None if ended is None else NOON + timedelta(seconds=ended),
        enabled_generation=3,
    )


def runtime(summary: WireObject | None = None, *, generation: int = 3) -> Runtime:
    memory = Memory(enabled=True, enabled_generation=generation)
    return Runtime(
        Meta("vmruntime", created=NOON), memory=memory, status={"preflightCheckSummary": summary or {}}
    )


def told_of(*checks: Check) -> dict[str, object]:
    return summary(checks, last_completed(runtime(), ON, checks, NOON))


def last_after(told: WireObject, *checks: Check) -> str:
    last = last_completed(runtime(told), ON, checks, NOON)
    return last.name if last else ""


@pytest.mark.parametrize(
    ("checks", "latest"),
    [
        ((check("b", created=0), check("a", created=1)), "a"),
        # decisions.md 18: by creationTimestamp, then by name; not by the end
        ((check("a", ended=9), check("b", ended=1)), "b"),
        ((check("b", ended=1), check("a", ended=9)), "b"),
        ((check("a", created=0, ended=9), check("b", created=1, ended=2)), "b"),
        (
            (check("vmruntime-preflight-check-manual", passed=False), check("a")),
            "vmruntime-preflight-check-manual",
        ),
    ],
)
def test_the_latest_is_by_creation_then_by_name(checks: tuple[Check, ...], latest: str):
    told = told_of(*checks)
    assert told["preflightCheckName"] == latest
    assert text(told, "lastCompleted", "name") == latest
    assert told["preflightCheckPassed"] is at(told, "lastCompleted", "passed")


def test_while_one_runs_its_name_alone_is_told():
    told = told_of(check("a"), check("b", created=5, ended=None))
    assert set(told) == {"preflightCheckName", "lastCompleted"}
    assert told["preflightCheckName"] == "b"
    assert text(told, "lastCompleted", "name") == "a"


def test_a_deleted_check_is_replaced_by_one_that_came_later_alone():
    older, bad = check("older"), check("zz-bad", passed=False)
    status = told_of(older, bad)
    assert last_after(status, older) == "zz-bad"
    assert last_after(status) == "zz-bad"
    assert last_after(status, older, check("newer", created=2, ended=3)) == "newer"
    # a new object of the deleted one's name that has not ended
    assert last_after(status, older, check("zz-bad", created=9, ended=None)) == "zz-bad"


def test_a_deleted_check_is_replaced_whatever_the_clock_said_that_ended_it():
    """A controller whose clock is an hour ahead ended the deleted one."""
    status = told_of(check("ahead", ended=3600))
    assert last_after(status, check("right", passed=False, created=5, ended=9)) == "right"


def test_a_deleted_check_of_another_century_is_nonsense():
    bad = check("bad", passed=False)
    lie = {**at(told_of(bad), "lastCompleted"), "name": "lie", "passed": True}  # type: ignore[dict-item]  # JSON
    told = {"lastCompleted": {**lie, "creationTimestamp": "2126-01-01T00:00:00Z"}}
    assert last_after(told, bad) == "bad"
    assert last_after({"lastCompleted": {**lie, "creationTimestamp": "2026-01-01T12:00:05Z"}}, bad) == "lie"


def test_a_check_that_was_made_while_disabled_decides_nothing():
    assert last_completed(runtime(), Memory(), [check("a")], NOON) is None
    assert (
        last_completed(runtime(generation=2), Memory(enabled=True, enabled_generation=4), [check("a")], NOON)
        is None
    )


def test_a_check_of_a_deleted_vm_runtime_decides_nothing():
    """A new VMRuntime counts its generations from 1 again."""
    assert last_completed(runtime(), ON, [check("a", created=-1)], NOON) is None
