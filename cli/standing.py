"""How a node stands, for a row of ``kubectl vm-preflight``: its NodePreflight, the skip label, the checks.

Pure. Two things are in the latest check alone: that a node was given up, which counts until it answers; and
what a node answered while the VM runtime was off, since its NodePreflight is gone by then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cluster.node_preflight import NodePreflight
from cluster.shapes import flag, items, mapping, text, time
from controller.silence import AGENT_CHECK
from controller.standing import State, state_of

Wire = Mapping[str, object]

SKIP_LABEL_REASON = "SkipLabel"
RUNNING_REASON = "Running"
NO_ANSWER_REASON = "NoAnswerYet"
NOT_CHECKED_REASON = "NotChecked"


@dataclass(frozen=True, slots=True)
class CheckView:
    """What a VMRuntimePreflightCheck says that is shown here.

    Attributes:
        name: Its name.
        uid: Its unique id.
        created: When it was created.
        ended: When it ended; None while it runs or waits.
        passed: Its verdict.
        message: What its condition Complete says.
        answers: What each node answered, or what stands for it, by node.
    """

    name: str
    uid: str = ""
    created: datetime | None = None
    ended: datetime | None = None
    passed: bool | None = None
    message: str = ""
    answers: Mapping[str, object] = field(default_factory=dict)

    @property
    def age_key(self) -> tuple[float, str]:
        """Orders checks: the latest is the last."""
        return (self.created.timestamp() if self.created else 0.0, self.name)


def check_view(wire: Wire) -> CheckView:
    """Projects a VMRuntimePreflightCheck."""
    verdict = mapping(wire, "status").get("pass")
    complete = [one for one in items(wire, "status", "conditions") if text(one, "type") == "Complete"]
    return CheckView(
        name=text(wire, "metadata", "name"),
        uid=text(wire, "metadata", "uid"),
        created=time(wire, "metadata", "creationTimestamp"),
        ended=time(wire, "status", "completionTime"),
        passed=verdict if isinstance(verdict, bool) else None,
        message=text(complete[0], "message") if complete else "",
        answers=mapping(wire, "status", "checks"),
    )


def latest_ended(checks: Sequence[CheckView]) -> CheckView | None:
    """Returns the latest check that has ended with a verdict: a cancelled one takes nothing back."""
    judged = (one for one in checks if one.ended and one.passed is not None)
    return max(judged, key=lambda one: one.age_key, default=None)


def told_by_check(name: str, preflight: NodePreflight | None, check: CheckView | None) -> Wire | None:
    """Returns a node's entry in the latest check that has ended, where that is the last word on it.

    Args:
        name: The node's name.
        preflight: Its NodePreflight.
        check: The latest check that has ended.
    """
    told = mapping(check.answers, name) if check else {}
    status = preflight.status if preflight else None
    if check is None or "passed" not in told:
        return None
    if preflight and preflight.pending and preflight.pending.id != check.uid:
        return None
    if status is None or status.passed is None:
        return told
    given_up = any(text(one, "checkName") == AGENT_CHECK for one in items(told, "results"))
    later = status.completion_time and check.ended and status.completion_time > check.ended
    return told if given_up and not later and status.run_id != check.uid else None


def mode_in(results: Iterable[Wire]) -> str:
    """Returns how VMs will run, by a node's results in a check; empty where they do not tell.

    A KVM that warns was made up for by emulation, or ignored.
    """
    found = {text(one, "checkName"): one for one in results}
    status = text(found.get("KVM"), "status")
    if status == "Warn":
        return "Emulation" if text(found.get("Emulation"), "reason") == "EmulationEnabled" else ""
    return {"Pass": "Hardware", "Fail": "None", "Unknown": "None"}.get(status, "")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands.

    Attributes:
        node: Its name.
        state: The verdict.
        mode: How VMs will run; empty where that is unknown.
        failed: The checks that fail the node.
        reason: Why the first of them does, or why there is no verdict.
        since: When that was found out.
        check: The check that asked the node last.
        kernel: Its kernel's release.
        agent: Its agent's version.
        warned: The checks that warn.
    """

    node: str
    state: State
    mode: str = ""
    failed: tuple[str, ...] = ()
    reason: str = ""
    since: datetime | None = None
    check: str = ""
    kernel: str = ""
    agent: str = ""
    warned: tuple[str, ...] = ()


def stand(name: str, preflight: NodePreflight | None, *, skipped: bool, check: CheckView | None) -> Standing:
    """Tells how a node stands.

    Args:
        name: The node's name.
        preflight: Its NodePreflight; None where there is none.
        skipped: It carries the skip label.
        check: The latest check that has ended.
    """
    state = state_of(preflight, skipped=skipped or bool(preflight and preflight.skip))
    status = preflight.status if preflight else None
    known = Standing(
        name,
        state,
        mode=status.mode if status else "",
        since=status.completion_time if status else None,
        check=preflight.run.check if preflight and preflight.run else "",
        kernel=status.kernel_version if status else "",
        agent=status.agent_version if status else "",
        warned=_named(one for one in status.results if text(one, "status") == "Warn") if status else (),
    )
    return _with_reason(known, preflight, told_by_check(name, preflight, check), check)


def _with_reason(
    known: Standing, preflight: NodePreflight | None, told: Wire | None, check: CheckView | None
) -> Standing:
    """Adds what fails the node, and why."""
    if known.state is State.SKIPPED:
        return replace(known, reason=SKIP_LABEL_REASON)
    if told is not None and check is not None:
        state = State.PASSED if flag(told, "passed") else State.FAILED
        results = items(told, "results")
        known = replace(known, state=state, mode=mode_in(results), since=check.ended, check=check.name)
        return _failing(known, results)
    if known.state is State.PENDING:
        return replace(known, reason=RUNNING_REASON)
    if known.state is State.UNKNOWN:
        return replace(known, reason=NO_ANSWER_REASON if preflight else NOT_CHECKED_REASON)
    return _failing(known, preflight.status.results if preflight and preflight.status else ())


def _failing(known: Standing, results: Iterable[Wire]) -> Standing:
    failing = [one for one in results if not flag(one, "passed")]
    if known.state is State.PASSED or not failing:
        return known
    return replace(known, failed=_named(failing), reason=text(failing[0], "reason"))


def _named(results: Iterable[Wire]) -> tuple[str, ...]:
    return tuple(text(one, "checkName") for one in results)
