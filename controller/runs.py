"""A check's way from being seen to its end, as the statuses that are written on that way.

Pure. The nodes that take part are fixed when a check is picked up: they are the keys of its
``status.checks``, without a verdict until they have answered. One that is deleted or skipped leaves.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cluster.node_preflight import NodePreflight
from cluster.shapes import flag, text, timestamp
from controller import silence
from controller.conditions import Condition, merge
from controller.objects import AgentPod, Check, Node, Runtime, WireObject
from controller.silence import Patience
from controller.truncation import fit
from controller.verdict import Answer, Verdict, judge

COMPLETE = "Complete"
CANCELLED = "Cancelled"
MAX_FAILURES = 10
"""Failed nodes that ``status.failures`` lists."""

Status = dict[str, object]


def current(checks: Iterable[Check]) -> Check | None:
    """Returns the check whose turn it is: the one that runs, else the oldest that has not ended."""
    unfinished = [check for check in checks if not check.finished]
    running = [check for check in unfinished if check.running]
    return min(running or unfinished, key=lambda check: check.age_key, default=None)


def participants(check: Check, serving: Mapping[str, Node]) -> dict[str, Node]:
    """Returns the nodes of a running check that are still to answer or have answered.

    Args:
        check: The running check.
        serving: The nodes that the agents' DaemonSet serves.
    """
    everyone = check.truncated and not check.nodes
    return {
        name: node for name, node in serving.items() if not node.skipped and (everyone or name in check.nodes)
    }


def answered(check: Check, preflight: NodePreflight | None) -> bool:
    """Tells whether a node has answered ``check``."""
    return (
        preflight is not None and preflight.status is not None and preflight.status.run_id == check.meta.uid
    )


@dataclass(frozen=True, slots=True)
class Sight:
    """A running check as this controller has it before its eyes.

    How long silent nodes are waited for counts from here: ``status.startTime`` is by the clock of whichever
    controller picked the check up, and in the time that this one was away no agent may have been heard.

    Attributes:
        run: The check's unique id.
        since: Since when it has been in sight, times left out in which no answer could be seen.
    """

    run: str
    since: datetime


def sight(before: Sight | None, running: Check | None, now: datetime) -> Sight | None:
    """Returns since when the check that runs, if any, has been in sight.

    Args:
        before: The same at the look before.
        running: The check whose turn it is.
        now: The present.
    """
    if running is None or not running.running:
        return None
    if before is not None and before.run == running.meta.uid:
        return before
    return Sight(running.meta.uid, now)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running check has come.

    Attributes:
        answers: The answers so far, and those that stand for nodes that were given up.
        waiting: The nodes that are still waited for, with the time until when.
        given_up: The nodes that have not answered and are not waited for any more.
    """

    answers: Mapping[str, Answer]
    waiting: Mapping[str, datetime]
    given_up: frozenset[str]


def progress(
    check: Check,
    nodes: Mapping[str, Node],
    preflights: Mapping[str, NodePreflight],
    pods: Mapping[str, AgentPod],
    *,
    since: datetime,
    now: datetime,
    namespace: str,
    patience: Patience,
) -> Progress:
    """Collects a running check's answers.

    Args:
        check: The running check.
        nodes: Its `participants`.
        preflights: NodePreflights by node.
        pods: Agents' pods by node.
        since: Since when they are waited for.
        now: The present.
        namespace: The agents' namespace.
        patience: How long silent nodes are waited for.
    """
    newest_pod = max((pod.meta.created for pod in pods.values() if pod.meta.created), default=None)
    answers: dict[str, Answer] = {}
    waiting: dict[str, datetime] = {}
    given_up: set[str] = set()
    for name, node in nodes.items():
        preflight, pod = preflights.get(name), pods.get(name)
        if preflight is not None and preflight.node_uid != node.meta.uid:
            preflight = None  # of another node that had this name
        if preflight is not None and preflight.status is not None and answered(check, preflight):
            answers[name] = Answer(preflight.status.passed is True, preflight.status.results)
            continue
        until = silence.waited_for_until(
            node, pod, since, patience, given=_deadline(check, preflight), newest_pod=newest_pod
        )
        if now < until:
            waiting[name] = until
        else:
            told = silence.result(node, pod, namespace=namespace, patience=patience)
            answers[name] = Answer(passed=False, results=(told,))
            given_up.add(name)
    return Progress(answers, waiting, frozenset(given_up))


def _deadline(check: Check, preflight: NodePreflight | None) -> datetime | None:
    run = preflight.run if preflight is not None else None
    return run.deadline if run is not None and run.id == check.meta.uid else None


def queued_status(check: Check, runtime: Runtime, now: datetime) -> Status:
    """The status of a check that was seen and waits for its turn."""
    waits = Condition(
        COMPLETE, holds=False, reason="Queued", message="waits for its turn: checks run one at a time"
    )
    return _status(check, runtime, (waits,), now)


def started_status(check: Check, runtime: Runtime, nodes: Iterable[str], now: datetime) -> Status:
    """The status of a check that is picked up now, for ``nodes``."""
    names = sorted(nodes)
    runs = Condition(COMPLETE, holds=False, reason="Running", message=_told(0, len(names)))
    status = _status(check, runtime, (runs,), now)
    return fit({**status, "startTime": timestamp(now), "checks": {name: {} for name in names}})


def running_status(check: Check, runtime: Runtime, so_far: Progress, now: datetime) -> Status:
    """The status of a check that some nodes have not answered."""
    total = len(so_far.answers) + len(so_far.waiting)
    runs = Condition(COMPLETE, holds=False, reason="Running", message=_told(len(so_far.answers), total))
    status = _status(check, runtime, (runs,), now)
    return fit({**status, "checks": {name: {} for name in so_far.waiting} | _entries(so_far.answers)})


def finished_status(
    check: Check, runtime: Runtime, answers: Mapping[str, Answer], now: datetime
) -> tuple[Status, Verdict]:
    """The status of a check that every node has answered, and its verdict."""
    verdict = judge(answers, runtime.features.min_passed_nodes)
    done = Condition(COMPLETE, holds=True, reason=verdict.reason.value, message=verdict.message)
    failed = sorted(name for name, answer in answers.items() if not answer.passed)[:MAX_FAILURES]
    status = _status(check, runtime, (done,), now)
    status |= {
        "pass": verdict.passed,
        "completionTime": timestamp(now),
        "checks": _entries(answers),
        "featureStatuses": {name: feature.to_dict() for name, feature in verdict.features.items()},
    }
    if failed:
        status["failures"] = {
            name: {"results": [_result(one) for one in answers[name].results if not flag(one, "passed")]}
            for name in failed
        }
    return fit(status), verdict


def cancelled_status(check: Check, runtime: Runtime, answers: Mapping[str, Answer], now: datetime) -> Status:
    """The status of an automatic check that ends because the runtime was switched off."""
    why = "the VM runtime was disabled"
    conditions = (
        Condition(COMPLETE, holds=False, reason="Cancelled", message=why),
        Condition(CANCELLED, holds=True, reason="RuntimeDisabled", message=why),
    )
    status = _status(check, runtime, conditions, now)
    return fit({**status, "completionTime": timestamp(now), "checks": _entries(answers)})


def _status(check: Check, runtime: Runtime, conditions: Iterable[Condition], now: datetime) -> Status:
    """What every status of a check has: its start, the enabling that it was made under, its conditions.

    An unseen check takes the enabling from the memory, which is the state before the present look.
    """
    status: Status = {}
    if check.start is not None:
        status["startTime"] = timestamp(check.start)
    generation = check.enabled_generation
    if not check.seen and runtime.memory.enabled:
        generation = runtime.memory.enabled_generation
    if generation is not None:
        status["enabledGeneration"] = generation
    status["conditions"] = merge(conditions, check.status, generation=check.meta.generation, now=now)
    return status


def _told(answered_nodes: int, total: int) -> str:
    return f"{answered_nodes} of {total} nodes answered"


def _entries(answers: Mapping[str, Answer]) -> dict[str, WireObject]:
    shown: dict[int, WireObject] = {}  # thousands of nodes share the results that are alike
    for answer in answers.values():
        for one in answer.results:
            if id(one) not in shown:
                shown[id(one)] = _result(one)
    return {
        name: {"passed": answers[name].passed, "results": [shown[id(one)] for one in answers[name].results]}
        for name in sorted(answers)
    }


def _result(wire: WireObject) -> WireObject:
    """A result as a check shows it: the hint on lines below the message; a clean Pass has neither."""
    status, passed = text(wire, "status"), flag(wire, "passed")
    shown: dict[str, object] = {"checkName": text(wire, "checkName"), "passed": passed}
    message = "\n".join(part for part in (text(wire, "message"), text(wire, "hint")) if part)
    if message and not (passed and status == "Pass"):
        shown["message"] = message
    shown |= {key: text(wire, key) for key in ("status", "reason") if text(wire, key)}
    return shown
