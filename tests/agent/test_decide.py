"""The agent's decisions, as tables."""

from datetime import UTC, datetime, timedelta

import pytest
import reports

from agent import decide
from agent.decide import GREATEST_BUDGET, LEAST_BUDGET, MARGIN, OWN_BUDGET, Situation, Trigger
from agent.status import patch
from cluster.node_preflight import NodeStatus, from_object
from preflight.report import Mode

ALL = frozenset(Trigger)
NONE: frozenset[Trigger] = frozenset()


@pytest.mark.parametrize(
    ("skip", "asked", "answered", "in_hand", "due", "trigger"),
    [
        # nothing to do
        (False, "", "", "", NONE, None),
        (False, "a", "a", "", NONE, None),
        # a request, whatever was answered before
        (False, "a", "", "", NONE, Trigger.REQUESTED),
        (False, "b", "a", "", NONE, Trigger.REQUESTED),
        # a request goes before everything else, and takes it along
        (False, "b", "a", "", ALL, Trigger.REQUESTED),
        # its answer is found and not yet published: it is not run again, nor anything else
        (False, "b", "a", "b", NONE, None),
        (False, "b", "a", "b", ALL, None),
        # a newer request meanwhile
        (False, "c", "a", "b", NONE, Trigger.REQUESTED),
        # nobody asked
        (False, "", "", "", {Trigger.STARTUP}, Trigger.STARTUP),
        (False, "a", "a", "", {Trigger.INTERVAL}, Trigger.INTERVAL),
        (False, "a", "a", "", {Trigger.INTERVAL, Trigger.DEVICE}, Trigger.DEVICE),
        (False, "", "a", "", {Trigger.SIGNAL, Trigger.INTERVAL}, Trigger.SIGNAL),
        # a skipped node is idle
        (True, "b", "a", "", ALL, None),
        (True, "", "", "", {Trigger.STARTUP}, None),
    ],
)
def test_next_trigger(
    skip: bool, asked: str, answered: str, in_hand: str, due: frozenset[Trigger], trigger: Trigger | None
) -> None:
    assert decide.next_trigger(Situation(skip, asked, answered, in_hand, due)) is trigger


@pytest.mark.parametrize(
    ("skip", "asked", "answered", "in_hand", "obsolete"),
    [
        (False, "b", "a", "b", False),
        (False, "b", "", "b", False),
        # a newer run
        (False, "c", "a", "b", True),
        # the run was withdrawn
        (False, "", "a", "b", True),
        # the answer arrived although writing it seemed to fail
        (False, "b", "b", "b", True),
        # skipped meanwhile
        (True, "b", "a", "b", True),
        # an answer that nobody asked for waits for nobody
        (False, "c", "a", "", False),
        (True, "", "", "", False),
    ],
)
def test_is_obsolete(skip: bool, asked: str, answered: str, in_hand: str, obsolete: bool) -> None:
    assert decide.is_obsolete(Situation(skip, asked, answered, in_hand, NONE)) is obsolete


REPORT = reports.report(*reports.EVERY_STATUS)
FIRST, *REST = REPORT.results


@pytest.mark.parametrize("trigger", sorted(ALL - {Trigger.REQUESTED}))
def test_what_nobody_asked_for_is_published_when_the_outcome_changed(trigger: Trigger) -> None:
    published = decide.verdict_of(REPORT)
    same = REPORT._replace(
        completion_time="2026-02-02T00:00:00.000000Z",
        results=(*REST[::-1], FIRST._replace(message="other words", hint="other", duration_seconds=9.0)),
    )
    assert not decide.must_publish(trigger, decide.verdict_of(same), published)
    for changed in (
        REPORT._replace(passed=True),
        REPORT._replace(mode=Mode.HARDWARE),
        REPORT._replace(mode=None),
        REPORT._replace(results=tuple(REST)),
        REPORT._replace(results=(FIRST._replace(reason="StaleDevice"), *REST)),
        REPORT._replace(boot_id="another boot"),
        REPORT._replace(kernel_version="6.2"),
        REPORT._replace(agent_version="2"),
    ):
        assert decide.must_publish(trigger, decide.verdict_of(changed), published)
    assert decide.must_publish(trigger, published, None)


def test_a_request_is_always_answered() -> None:
    verdict = decide.verdict_of(REPORT)
    assert decide.must_publish(Trigger.REQUESTED, verdict, verdict)


@pytest.mark.parametrize("report", [REPORT, REPORT._replace(mode=None, boot_id="b", passed=True)])
def test_verdict_of_a_report_is_that_of_the_status_it_makes(report: reports.Report) -> None:
    status = from_object({"metadata": {"name": "n"}, **patch(report, "")}).status
    assert decide.published_verdict(status) == decide.verdict_of(report)


def test_nothing_published_is_no_verdict_and_junk_is_one_that_differs() -> None:
    assert decide.published_verdict(None) is None
    junk = NodeStatus(results=({"checkName": 5, "status": []},))
    assert decide.published_verdict(junk) != decide.verdict_of(REPORT)


NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("trigger", "seconds_left", "budget"),
    [
        (Trigger.REQUESTED, 60, 60 - MARGIN),
        (Trigger.REQUESTED, 3, LEAST_BUDGET),
        (Trigger.REQUESTED, -3600, LEAST_BUDGET),
        (Trigger.REQUESTED, 3600, GREATEST_BUDGET),
        (Trigger.REQUESTED, None, GREATEST_BUDGET),
        (Trigger.DEVICE, 60, OWN_BUDGET),
    ],
)
def test_budget(trigger: Trigger, seconds_left: float | None, budget: float) -> None:
    deadline = None if seconds_left is None else NOW + timedelta(seconds=seconds_left)
    assert decide.budget(trigger, deadline, NOW) == budget
