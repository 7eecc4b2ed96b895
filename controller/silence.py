"""A node that has not answered: how long it is waited for, and what is said in its place.

Told apart by what the cluster knows: the node is not ready, it has no agent's pod, the pod is still being
rolled out (which has longer), the pod does not run, or it runs and does not answer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cluster.resources import AGENT_NAME, SKIP_LABEL
from controller.objects import AgentPod, Node

AGENT_CHECK = "Agent"
"""Name of the check that stands in for a silent node's results."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long nodes are waited for, and how often is written and looked.

    Attributes:
        answer: For an agent that is there, from the check's start.
        rollout: For an agent that is still being rolled out, from the check's start.
        progress: Between two writes of a running check's status.
        idle: Longest time between two looks: the manifest is a file, and nobody tells when it changes.
        quiet: After the last change of a version, before an upgrade is acted on.
        upgrade: After the first change of a version, at the latest.
        versions: Between two questions for the API server's version.
    """

    answer: timedelta = timedelta(seconds=120)
    rollout: timedelta = timedelta(minutes=10)
    progress: timedelta = timedelta(seconds=5)
    idle: timedelta = timedelta(seconds=10)
    quiet: timedelta = timedelta(seconds=60)
    upgrade: timedelta = timedelta(minutes=10)
    versions: timedelta = timedelta(seconds=60)


def asked_until(pod: AgentPod | None, start: datetime, patience: Patience) -> datetime:
    """Returns the deadline that a node's agent is given when it is asked."""
    here = pod is not None and pod.available and not _came_up_after(pod, start)
    return start + (patience.answer if here else patience.rollout)


def waited_for_until(
    node: Node,
    pod: AgentPod | None,
    start: datetime,
    patience: Patience,
    *,
    given: datetime | None = None,
    newest_pod: datetime | None = None,
) -> datetime:
    """Returns until when a silent node is waited for.

    An agent that came up during the check has as long as one that was there at its start. Where the DaemonSet
    controller still makes pods for other nodes, this node's may be about to come.

    Args:
        node: The node.
        pod: Its agent's pod.
        start: Since when it is waited for.
        patience: How long nodes are waited for.
        given: The deadline that its agent was given, `asked_until`.
        newest_pod: When the newest pod of an agent was made, on whichever node.
    """
    latest = start + patience.rollout
    if not node.ready:
        return start + patience.answer
    if pod is None:
        return min(max(start, newest_pod or start) + patience.answer, latest)
    if pod.starting:
        return latest
    if pod.available_since is not None:
        if _came_up_after(pod, start):
            return min(pod.available_since + patience.answer, latest)
        if given is not None and given > start + patience.answer:
            return latest  # it was not up when it was asked: its node's clock is behind
    return start + patience.answer


def _came_up_after(pod: AgentPod, start: datetime) -> bool:
    return pod.available_since is not None and pod.available_since > start


def result(node: Node, pod: AgentPod | None, *, namespace: str, patience: Patience) -> dict[str, object]:
    """Returns the result, in wire form, that stands for a node that was given up."""
    seconds = f"{patience.answer.total_seconds():g} s"
    skip = f'or leave the node out: kubectl label nodes {node.name} "{SKIP_LABEL}="'
    if not node.ready:
        reason = "NodeNotReady"
        message = f"no answer in {seconds}: the node is not ready ({node.trouble})"
        hint = f"bring the node back (kubectl describe node {node.name}), {skip}"
    elif pod is None:
        reason = "NoAgentPod"
        message = f"no answer in {seconds}: there is no agent pod on the node"
        hint = f"see why: kubectl -n {namespace} describe daemonset {AGENT_NAME}, {skip}"
    elif pod.available:
        reason = "AgentNotAnswering"
        message = f"no answer in {seconds}, though agent pod {pod.meta.name} is ready"
        hint = f"see what it does: kubectl -n {namespace} logs {pod.meta.name} --all-containers, {skip}"
    else:
        waited = f"{patience.rollout.total_seconds():g} s" if pod.starting else seconds
        reason = pod.reason or "AgentNotReady"
        why = f": {pod.message}" if pod.message else ""
        message = f"no answer in {waited}: agent pod {pod.meta.name} is not ready: {reason}{why}"
        hint = f"see why: kubectl -n {namespace} describe pod {pod.meta.name}, {skip}"
    return {
        "checkName": AGENT_CHECK,
        "status": "Unknown",
        "passed": False,
        "reason": reason,
        "message": " ".join(message.split()),
        "hint": hint,
    }
