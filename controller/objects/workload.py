"""The agents as Kubernetes runs them: their DaemonSet and its pods."""

from dataclasses import dataclass, field
from datetime import datetime

from cluster.shapes import flag, items, mapping, text, time, words
from controller.objects.identity import Meta, WireObject, condition, meta, unversioned


@dataclass(frozen=True, slots=True)
class AgentPod:
    """A pod of the agent's DaemonSet.

    Attributes:
        meta: Its identity, without its version.
        owner: Name of the DaemonSet that owns it, empty for any other pod.
        node: The node that it runs on or is meant for.
        available: Whether its condition Ready is True.
        available_since: When that became so.
        starting: It was never up: not scheduled, images being pulled, containers being made.
        reason: CamelCase word why it is not available.
        message: The same for a person.
        version: Its resource version, which is no difference.
    """

    meta: Meta
    owner: str = ""
    node: str = ""
    available: bool = False
    available_since: datetime | None = None
    starting: bool = False
    reason: str = ""
    message: str = ""
    version: str = field(default="", compare=False)


STARTING_REASONS = frozenset(
    {
        "ContainerCreating",
        "PodInitializing",
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "CreateContainerConfigError",
        "CreateContainerError",
    }
)
"""Waiting reasons before a container has run (pkg/kubelet: images/types.go, kuberuntime_container.go)."""


def agent_pod(wire: WireObject) -> AgentPod:
    """Projects a core/v1 Pod."""
    owner = ""
    for one in items(wire, "metadata", "ownerReferences"):
        if text(one, "kind") == "DaemonSet" and flag(one, "controller"):
            owner = text(one, "name")
    ready = condition(wire, "Ready")
    available = text(ready, "status") == "True"
    reason, message, starting = ("", "", False) if available else _why_unavailable(wire)
    return AgentPod(
        meta=unversioned(wire),
        owner=owner,
        node=text(wire, "spec", "nodeName") or _meant_for(wire),
        available=available,
        available_since=time(ready, "lastTransitionTime") if available else None,
        starting=starting,
        reason=reason,
        message=message,
        version=text(wire, "metadata", "resourceVersion"),
    )


def _meant_for(wire: WireObject) -> str:
    """The node of a pod that is not scheduled yet: the DaemonSet controller names it in a node affinity."""
    terms = items(
        wire,
        "spec",
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
    )
    for term in terms:
        for one in items(term, "matchFields"):
            names = words(one, "values")
            if text(one, "key") == "metadata.name" and len(names) == 1:
                return names[0]
    return ""


def _why_unavailable(wire: WireObject) -> tuple[str, str, bool]:
    """Returns reason, message, and whether the pod was never up."""
    containers = [
        *items(wire, "status", "initContainerStatuses"),
        *items(wire, "status", "containerStatuses"),
    ]
    for one in containers:
        waiting = mapping(one, "state", "waiting")
        if reason := text(waiting, "reason"):
            starting = reason in STARTING_REASONS and not mapping(one, "lastState", "terminated")
            return reason, text(waiting, "message"), starting
    if text(wire, "status", "phase") in ("Pending", ""):
        scheduled = condition(wire, "PodScheduled")
        return text(scheduled, "reason") or "Pending", text(scheduled, "message"), True
    for one in containers:
        ended = mapping(one, "state", "terminated")
        if ended:
            return text(ended, "reason") or "Terminated", text(ended, "message"), False
    unready = condition(wire, "Ready")
    return text(unready, "reason") or "NotReady", text(unready, "message"), False


@dataclass(frozen=True, slots=True)
class DaemonSet:
    """The agent's DaemonSet.

    Attributes:
        meta: Its identity.
        template: Its pod template.
        deleting: It is being deleted.
    """

    meta: Meta
    template: WireObject = field(default_factory=dict)
    deleting: bool = False


def daemon_set(wire: WireObject) -> DaemonSet:
    """Projects an apps/v1 DaemonSet."""
    return DaemonSet(
        meta=meta(wire),
        template=mapping(wire, "spec", "template"),
        deleting=bool(text(wire, "metadata", "deletionTimestamp")),
    )
