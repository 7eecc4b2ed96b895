"""What the agent does next: pure functions of what was asked, what was answered and what was found."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from cluster.node_preflight import NodeStatus
from preflight.report import Report

MARGIN = 5.0
"""Seconds before a run's deadline in which its answer must be on its way to the controller."""

LEAST_BUDGET = 10.0
"""Seconds that a run gets even if its deadline is near or past: the node's clock may be ahead."""

GREATEST_BUDGET = 120.0
"""Seconds that a run gets at most: the node's clock may be behind."""

OWN_BUDGET = 60.0
"""Seconds for a run that nobody asked for."""


class Trigger(StrEnum):
    """Why a run began, most pressing first."""

    REQUESTED = "Requested"
    DEVICE = "Device"
    SIGNAL = "Signal"
    STARTUP = "Startup"
    INTERVAL = "Interval"


class Situation(NamedTuple):
    """What a decision is made of.

    Attributes:
        skip: The node is skipped.
        asked: The run that the controller asks for, empty for none.
        answered: The run that the published status answers, empty for none.
        in_hand: The run whose answer is found and not yet published, empty for none.
        due: What has happened since the last run began.
    """

    skip: bool
    asked: str
    answered: str
    in_hand: str
    due: Collection[Trigger]


def next_trigger(situation: Situation) -> Trigger | None:
    """Tells whether to run now, and why; None to wait.

    While the answer to a request waits to be published, only a newer request runs.
    """
    if situation.skip:
        return None
    if situation.asked and situation.asked not in (situation.answered, situation.in_hand):
        return Trigger.REQUESTED
    if situation.in_hand:
        return None
    return next((trigger for trigger in Trigger if trigger in situation.due), None)


def is_obsolete(situation: Situation) -> bool:
    """Whether nobody waits for the answer in hand any more: another run is asked for, or none, or it came."""
    return bool(situation.in_hand) and (
        situation.skip or situation.asked != situation.in_hand or situation.answered == situation.in_hand
    )


class Verdict(NamedTuple):
    """What of a report counts as its outcome: a change of anything else is not worth a write.

    Attributes:
        passed: The node's verdict.
        mode: How VMs will run, empty where it is not known.
        results: Name, status and reason of each check, in order of name.
        origin: Boot, kernel and program that the report is of.
    """

    passed: bool | None
    mode: str
    results: tuple[tuple[str, str, str], ...]
    origin: tuple[str, str, str]


def verdict_of(report: Report) -> Verdict:
    """Returns a report's outcome."""
    results = [(result.check_name, result.status.value, result.reason) for result in report.results]
    return Verdict(
        passed=report.passed,
        mode=report.mode.value if report.mode else "",
        results=tuple(sorted(results)),
        origin=(report.boot_id, report.kernel_version, report.agent_version),
    )


def published_verdict(status: NodeStatus | None) -> Verdict | None:
    """Returns the outcome that a status tells, None where nothing was published."""
    if status is None:
        return None
    fields = ("checkName", "status", "reason")
    results = [tuple(str(result.get(field, "")) for field in fields) for result in status.results]
    return Verdict(
        passed=status.passed,
        mode=status.mode,
        results=tuple(sorted((name, outcome, reason) for name, outcome, reason in results)),
        origin=(status.boot_id, status.kernel_version, status.agent_version),
    )


def must_publish(trigger: Trigger, found: Verdict, published: Verdict | None) -> bool:
    """Whether a run's outcome is written: a request is always answered, other runs tell changes only."""
    return trigger is Trigger.REQUESTED or found != published


def budget(trigger: Trigger, deadline: datetime | None, now: datetime) -> float:
    """Returns seconds in which a run must have its answer, retries included."""
    if trigger is not Trigger.REQUESTED:
        return OWN_BUDGET
    if deadline is None:
        return GREATEST_BUDGET
    left = (deadline - now).total_seconds() - MARGIN
    return min(max(left, LEAST_BUDGET), GREATEST_BUDGET)
