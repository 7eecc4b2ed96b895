"""Is the VM runtime ready: enabled, an agent at work on every node that takes part, the last verdict a pass?

A node counts as served while its agent's pod is available or its last report is young. Losing a node counts
only after a while, so that a rolling update of the agents does not make readiness flap.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cluster.resources import AGENT_NAME, NAMESPACE
from controller.objects import AgentPod
from controller.summary import LastCompleted

REPORT_AGE = timedelta(minutes=10)
"""The agent's slow interval: a report younger than this shows that it works."""
DEBOUNCE = timedelta(seconds=30)
MAX_NAMED = 3


class Reason(StrEnum):
    """The reason of the condition Ready."""

    READY = "Ready"
    DISABLED = "Disabled"
    SWITCHING_OFF = "SwitchingOff"
    AGENTS_NOT_READY = "AgentsNotReady"
    NO_VERDICT = "NoVerdict"
    CHECK_FAILED = "CheckFailed"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the VM runtime is ready, and why not.

    Attributes:
        reason: Why.
        message: The same for a person.
    """

    reason: Reason
    message: str

    @property
    def ready(self) -> bool:
        """Whether it is."""
        return self.reason is Reason.READY


def unserved(
    nodes: Collection[str],
    pods: Mapping[str, AgentPod],
    reports: Mapping[str, datetime],
    now: datetime,
) -> tuple[str, ...]:
    """Returns the nodes that no agent serves, sorted.

    Args:
        nodes: The nodes that take part.
        pods: The agent's pod on each node.
        reports: When each node last reported, by its own clock.
        now: The present.
    """

    def served(name: str) -> bool:
        pod, report = pods.get(name), reports.get(name)
        return (pod is not None and pod.available) or (report is not None and abs(now - report) < REPORT_AGE)

    return tuple(sorted(name for name in nodes if not served(name)))


def explain(missing: Sequence[str], pods: Mapping[str, AgentPod], namespace: str) -> str:
    """Says which nodes no agent serves, why the first one of them, and where to look.

    Of a pod's words only the reason: the kubelet changes the rest every few seconds, each time a write.

    Args:
        missing: The nodes, sorted.
        pods: The agent's pod on each node.
        namespace: The agents' namespace.
    """
    if not missing:
        return ""
    more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
    pod = pods.get(missing[0])
    if pod is None:
        why, look = "there is no agent pod", f"daemonset {AGENT_NAME}"
    else:
        why, look = f"pod {pod.meta.name} is not ready ({pod.reason or 'Unknown'})", f"pod {pod.meta.name}"
    told = f"no agent serves {', '.join(missing[:MAX_NAMED])}{more}: on {missing[0]} {why}"
    return f"{told}; see why: kubectl -n {namespace} describe {look}"


def agents_count_as_rolled_out(
    missing: Collection[str], since: datetime | None, *, was: bool, now: datetime
) -> bool:
    """Tells whether the agents count as rolled out.

    Args:
        missing: Nodes that no agent serves.
        since: Since when some node has not been served.
        was: Whether they counted as rolled out until now.
        now: The present.
    """
    return not missing or (was and since is not None and now - since < DEBOUNCE)


def readiness(
    *,
    enabled: bool,
    in_force: bool,
    rolled_out: bool,
    trouble: str,
    last: LastCompleted | None,
) -> Readiness:
    """Tells whether the VM runtime is ready.

    Args:
        enabled: What its spec asks for.
        in_force: Whether it is on.
        rolled_out: Whether the agents count as rolled out.
        trouble: Which nodes no agent serves, and why.
        last: The last check that decides about VMs; None where there is none.
    """
    if not in_force:
        return Readiness(Reason.DISABLED, "the VM runtime is disabled")
    if not enabled:
        return Readiness(Reason.SWITCHING_OFF, "the VM runtime is being switched off")
    if not rolled_out:
        return Readiness(Reason.AGENTS_NOT_READY, trouble)
    if last is None:
        return Readiness(
            Reason.NO_VERDICT,
            "no preflight check has finished since it was enabled; "
            f"wait for one with: kubectl get vmruntimepfc -n {NAMESPACE} --watch",
        )
    if not last.passed:
        return Readiness(
            Reason.CHECK_FAILED,
            f"preflight check {last.name} failed ({last.cause}); "
            f"see why with: kubectl get vmruntimepfc -n {NAMESPACE} {last.name} -o yaml",
        )
    return Readiness(Reason.READY, f"preflight check {last.name} passed and an agent serves every node")
