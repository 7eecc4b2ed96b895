"""Nodes: who can take part, who is skipped, whose kubelet was upgraded."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cluster.resources import PASSED_CONDITION, SKIP_LABEL
from cluster.shapes import items, text, texts, time
from controller.objects.identity import Meta, WireObject, condition, unversioned

MAX_VERSION = 253
"""Characters of a version: its bound in the schemas of VMRuntime and NodePreflight."""


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
        meta: Its identity, without its version.
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
        meta=unversioned(wire),
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
