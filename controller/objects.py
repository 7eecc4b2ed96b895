"""What the controller keeps of the cluster's objects: projections that tolerate any content.

Objects are written by people and by other programs, so a field of the wrong type counts as absent. Only what
a decision needs is kept: the caches of a large cluster hold these, not the objects.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cluster.resources import (
    DISABLING_ANNOTATION,
    FORCE_DISABLE_ANNOTATION,
    PASSED_CONDITION,
    SKIP_LABEL,
    TRIGGER_ANNOTATION,
)
from cluster.shapes import flag, items, mapping, number, text, texts, time, words

WireObject = Mapping[str, object]
NOTHING: WireObject = {}
DEFAULT_IMAGE_FORMAT = "raw"
ALL_NODES = "100%"
MAX_VERSION = 253
"""Characters of a version: its bound in the schemas of VMRuntime and NodePreflight."""


@dataclass(frozen=True, slots=True)
class Meta:
    """An object's identity.

    Attributes:
        name: Its name.
        uid: Its unique id: an object of the same name that was made anew has another.
        resource_version: Changes with each write.
        generation: Counts the changes of its spec; 0 where the kind has none.
        created: When the API server accepted it.
    """

    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    created: datetime | None = None


def meta(wire: WireObject) -> Meta:
    """Reads an object's ``metadata``."""
    return Meta(
        name=text(wire, "metadata", "name"),
        uid=text(wire, "metadata", "uid"),
        resource_version=text(wire, "metadata", "resourceVersion"),
        generation=number(wire, "metadata", "generation"),
        created=time(wire, "metadata", "creationTimestamp"),
    )


def condition(wire: WireObject, name: str) -> WireObject:
    """Returns one of ``status.conditions`` by its type, empty where it is not there."""
    for one in items(wire, "status", "conditions"):
        if text(one, "type") == name:
            return one
    return NOTHING


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """The condition VMPreflightPassed of a Node.

    Attributes:
        status: ``True``, ``False`` or ``Unknown``.
        reason: CamelCase word.
        message: One line for a person.
        since: When the status changed last.
    """

    status: str
    reason: str
    message: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A node.

    Attributes:
        meta: Its identity.
        labels: Its labels.
        taints: Its taints.
        ready: Whether its condition Ready is True.
        trouble: What the condition Ready says where it is not True.
        kubelet_version: Its kubelet's version; empty before the kubelet has told it.
        verdict: Its condition VMPreflightPassed; None where it has none.
        version: Its resource version, which is no difference: each heartbeat of a kubelet changes it.
    """

    meta: Meta
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    ready: bool = True
    trouble: str = ""
    kubelet_version: str = ""
    verdict: NodeCondition | None = None
    version: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The node's name."""
        return self.meta.name

    @property
    def skipped(self) -> bool:
        """Whether the node carries the skip label; any value counts."""
        return SKIP_LABEL in self.labels


def node(wire: WireObject) -> Node:
    """Projects a core/v1 Node."""
    ready = condition(wire, "Ready")
    trouble = ": ".join(part for part in (text(ready, "reason"), text(ready, "message")) if part)
    return Node(
        meta=meta(wire),
        labels=texts(wire, "metadata", "labels"),
        taints=tuple(
            Taint(text(one, "key"), text(one, "value"), text(one, "effect"))
            for one in items(wire, "spec", "taints")
        ),
        ready=text(ready, "status") == "True",
        trouble=trouble or "its kubelet has not reported yet",
        kubelet_version=sys.intern(text(wire, "status", "nodeInfo", "kubeletVersion")[:MAX_VERSION]),
        verdict=_verdict(wire),
        version=text(wire, "metadata", "resourceVersion"),
    )


def _verdict(wire: WireObject) -> NodeCondition | None:
    found = condition(wire, PASSED_CONDITION)
    if not found:
        return None
    since = time(found, "lastTransitionTime")
    return NodeCondition(text(found, "status"), text(found, "reason"), text(found, "message"), since)


@dataclass(frozen=True, slots=True)
class AgentPod:
    """A pod of the agent's DaemonSet.

    Attributes:
        meta: Its identity.
        owner: Name of the DaemonSet that owns it, empty for any other pod.
        node: The node that it runs on or is meant for.
        available: Whether its condition Ready is True.
        available_since: When that became so.
        starting: It was never up: not scheduled, images being pulled, containers being made.
        reason: CamelCase word why it is not available.
        message: The same for a person.
    """

    meta: Meta
    owner: str = ""
    node: str = ""
    available: bool = False
    available_since: datetime | None = None
    starting: bool = False
    reason: str = ""
    message: str = ""


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
        meta=meta(wire),
        owner=owner,
        node=text(wire, "spec", "nodeName") or _meant_for(wire),
        available=available,
        available_since=time(ready, "lastTransitionTime") if available else None,
        starting=starting,
        reason=reason,
        message=message,
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


@dataclass(frozen=True, slots=True)
class Check:
    """A VMRuntimePreflightCheck.

    Attributes:
        meta: Its identity.
        trigger: Value of its trigger annotation.
        passed: Its verdict; None until every node has answered, and for one that was cancelled.
        start: When it was picked up.
        completion: When it ended.
        enabled_generation: `Memory.enabled_generation` while it was created; None while the runtime was off.
        seen: The controller has written its status.
        cancelled: It was ended without a verdict.
        truncated: Its status had to be cut.
        features: Its ``status.featureStatuses``.
        reason: Reason of its condition Complete.
        message: What that condition says.
        nodes: Names of the nodes that take part, while it runs.
        status: Its whole status until it has ended; empty from then on.
    """

    meta: Meta
    trigger: str = ""
    passed: bool | None = None
    start: datetime | None = None
    completion: datetime | None = None
    enabled_generation: int | None = None
    seen: bool = False
    cancelled: bool = False
    truncated: bool = False
    features: WireObject = field(default_factory=dict)
    reason: str = ""
    message: str = ""
    nodes: frozenset[str] = frozenset()
    status: WireObject = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The check's name."""
        return self.meta.name

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.completion is not None

    @property
    def running(self) -> bool:
        """Whether it was picked up and has not ended."""
        return self.start is not None and self.completion is None

    @property
    def age_key(self) -> tuple[float, str]:
        """Orders checks by the second of their creation, then by name: the latest is the last."""
        return (self.meta.created.timestamp() if self.meta.created else 0.0, self.meta.name)


def check(wire: WireObject) -> Check:
    """Projects a VMRuntimePreflightCheck."""
    status = mapping(wire, "status")
    completion = time(status, "completionTime")
    verdict = status.get("pass")
    complete = condition(wire, "Complete")
    return Check(
        meta=meta(wire),
        trigger=text(wire, "metadata", "annotations", TRIGGER_ANNOTATION),
        passed=verdict if isinstance(verdict, bool) else None,
        start=time(status, "startTime"),
        completion=completion,
        enabled_generation=number(status, "enabledGeneration") if "enabledGeneration" in status else None,
        seen=bool(complete),
        cancelled=text(condition(wire, "Cancelled"), "status") == "True",
        truncated=flag(status, "truncated"),
        features=mapping(status, "featureStatuses"),
        reason=text(complete, "reason"),
        message=text(complete, "message"),
        nodes=frozenset() if completion else frozenset(mapping(status, "checks")),
        status=NOTHING if completion else status,
    )


@dataclass(frozen=True, slots=True)
class Features:
    """The features of the VM runtime whose change asks for a new check.

    Attributes:
        use_emulation: VMs may run under software emulation.
        vm_image_format: Disk image format.
        min_passed_nodes: How many nodes must pass: a number or a percentage.
        ignored_checks: Checks that do not fail a node, sorted.
    """

    use_emulation: bool = False
    vm_image_format: str = DEFAULT_IMAGE_FORMAT
    min_passed_nodes: int | str = ALL_NODES
    ignored_checks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Returns the wire form, with defaults filled in."""
        return {
            "useEmulation": self.use_emulation,
            "vmImageFormat": self.vm_image_format,
            "minPassedNodes": self.min_passed_nodes,
            "ignoredChecks": list(self.ignored_checks),
        }


def features(spec: WireObject) -> Features:
    """Reads the features of a VMRuntime's spec; what is absent counts as its default."""
    preflight = mapping(spec, "preflight")
    return Features(
        use_emulation=flag(spec, "useEmulation"),
        vm_image_format=text(spec, "vmImageFormat") or DEFAULT_IMAGE_FORMAT,
        min_passed_nodes=_count_or_percentage(preflight.get("minPassedNodes")),
        ignored_checks=tuple(sorted(set(words(preflight, "ignoredChecks")))),
    )


def _count_or_percentage(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return value if isinstance(value, str) else ALL_NODES


@dataclass(frozen=True, slots=True)
class Pending:
    """An automatic check that was decided on, named, and is to be created.

    Attributes:
        name: Its name.
        trigger: What asked for it.
    """

    name: str
    trigger: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What was last acted on, as VMRuntime's status keeps it.

    Attributes:
        enabled: The runtime is in force.
        enabled_generation: The VMRuntime's generation when it was last switched on; 0 for never.
        features: The features last acted on; None before the first look.
        skipped: Unique ids of the nodes that were skipped at the last look; None before the first.
        api_server_version: The API server's version last acted on; empty before it was known.
        pending: The automatic check to be created.
    """

    enabled: bool = False
    enabled_generation: int = 0
    features: Features | None = None
    api_server_version: str = ""
    skipped: frozenset[str] | None = None
    pending: Pending | None = None


def memory(status: WireObject) -> Memory:
    """Reads the memory out of a VMRuntime's status."""
    seen = mapping(status, "lastActedOn")
    pending = mapping(status, "pendingCheck")
    name, trigger = text(pending, "name"), text(pending, "trigger")
    return Memory(
        enabled=flag(status, "enabled"),
        enabled_generation=number(status, "enabledGeneration"),
        features=_features_acted_on(seen),
        api_server_version=text(seen, "apiServerVersion"),
        skipped=frozenset(words(seen, "skippedNodes")) if "skippedNodes" in seen else None,
        pending=Pending(name, trigger) if name and trigger else None,
    )


def _features_acted_on(seen: WireObject) -> Features | None:
    wire = mapping(seen, "features")
    return features({**wire, "preflight": wire}) if wire else None


@dataclass(frozen=True, slots=True)
class Runtime:
    """The VMRuntime.

    Attributes:
        meta: Its identity.
        enabled: What its spec asks for.
        features: The features that its spec asks for.
        force_disable: Value of the annotation that lets VMs be given up; None where it is absent.
        disabling: The command line is switching it off.
        memory: What was last acted on.
        node_condition: Each node's verdict is to be published as a condition.
        node_label: How virtual machines run on each node is to be published as a label.
        status: Its whole status.
    """

    meta: Meta
    enabled: bool = False
    features: Features = field(default_factory=Features)
    force_disable: str | None = None
    disabling: bool = False
    memory: Memory = field(default_factory=Memory)
    node_condition: bool = False
    node_label: bool = False
    status: WireObject = field(default_factory=dict)


def runtime(wire: WireObject) -> Runtime:
    """Projects a VMRuntime."""
    annotations = texts(wire, "metadata", "annotations")
    status = mapping(wire, "status")
    return Runtime(
        meta=meta(wire),
        enabled=flag(wire, "spec", "enabled"),
        features=features(mapping(wire, "spec")),
        force_disable=annotations.get(FORCE_DISABLE_ANNOTATION),
        disabling=annotations.get(DISABLING_ANNOTATION) == "true",
        memory=memory(status),
        node_condition=flag(wire, "spec", "preflight", "nodeCondition"),
        node_label=flag(wire, "spec", "preflight", "nodeLabel"),
        status=status,
    )
