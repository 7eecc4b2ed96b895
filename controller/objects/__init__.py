"""What the controller keeps of the cluster's objects: projections that tolerate any content.

Objects are written by people and by other programs, so a field of the wrong type counts as absent. Only what
a decision needs is kept: the caches of a large cluster hold these, not the objects.
"""

from controller.objects.checks import Check, check
from controller.objects.identity import Meta, WireObject, condition, meta
from controller.objects.nodes import MAX_VERSION, Node, NodeCondition, Taint, node
from controller.objects.runtimes import (
    Features,
    Memory,
    Pending,
    Runtime,
    features,
    memory,
    runtime,
)
from controller.objects.workload import AgentPod, DaemonSet, agent_pod, daemon_set

__all__ = [
    "MAX_VERSION",
    "AgentPod",
    "Check",
    "DaemonSet",
    "Features",
    "Memory",
    "Meta",
    "Node",
    "NodeCondition",
    "Pending",
    "Runtime",
    "Taint",
    "WireObject",
    "agent_pod",
    "check",
    "condition",
    "daemon_set",
    "features",
    "memory",
    "meta",
    "node",
    "runtime",
]
