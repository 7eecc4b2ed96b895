"""What a Node shows of its verdict, for others to hold on to: a condition and a label, each an opt-in. Pure.

The NodePreflight alone decides, whoever asked for the run that it tells of. A mark that is missing, edited or
left over is put right, also on nodes that do not take part (any more).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cluster.node_preflight import NodePreflight
from cluster.resources import MODE_LABEL, SKIP_LABEL
from controller.actions import LabelNode, WriteNodeCondition
from controller.objects import Node, NodeCondition
from controller.verdict import why_not

MODES = ("Hardware", "Emulation", "None")
NO_MODE = "none"
"""Value of the label where no virtual machine is known to run."""


class Reason(StrEnum):
    """The reason of the condition VMPreflightPassed."""

    PASSED = "PreflightPassed"
    FAILED = "PreflightFailed"
    NOT_CHECKED = "NotCheckedYet"
    SKIPPED = "Skipped"


@dataclass(frozen=True, slots=True)
class Published:
    """What is to be seen on nodes.

    Attributes:
        condition: The condition VMPreflightPassed.
        label: The label vm-mode.
    """

    condition: bool = False
    label: bool = False


def marks(
    published: Published,
    nodes: Iterable[Node],
    serving: Mapping[str, Node],
    preflights: Mapping[str, NodePreflight],
    now: datetime,
) -> Iterator[LabelNode | WriteNodeCondition]:
    """Yields what is to be written so that every node shows what it should.

    Args:
        published: What is to be seen.
        nodes: Every node.
        serving: The nodes that the agents' DaemonSet serves; others show nothing.
        preflights: NodePreflights by node.
        now: The present.
    """
    for node in nodes:
        serves = node.name in serving
        preflight = preflights.get(node.name)
        if preflight is not None and preflight.node_uid != node.meta.uid:
            preflight = None  # the verdict of another node of this name
        label = mode_label(node, preflight) if published.label and serves else None
        if label != node.labels.get(MODE_LABEL):
            yield LabelNode(node, label)
        condition = verdict_condition(node, preflight, now) if published.condition and serves else None
        if condition != node.verdict:
            yield WriteNodeCondition(node, condition)


def mode_label(node: Node, preflight: NodePreflight | None) -> str | None:
    """Returns how virtual machines run on a node; None where it passed and nobody asked how."""
    if node.skipped or preflight is None or preflight.status is None or preflight.status.passed is not True:
        return NO_MODE
    return preflight.status.mode.lower() if preflight.status.mode in MODES else None


def verdict_condition(node: Node, preflight: NodePreflight | None, now: datetime) -> NodeCondition:
    """Returns the condition of a node that takes part: as it stands, where that is right already."""
    status, reason, message = _verdict(node, preflight)
    before = node.verdict
    since = before.since if before is not None and before.status == status else None
    return NodeCondition(status, reason.value, message, since or now)


def _verdict(node: Node, preflight: NodePreflight | None) -> tuple[str, Reason, str]:
    if node.skipped:
        return "Unknown", Reason.SKIPPED, f"the node is not checked, since it has the label {SKIP_LABEL}"
    if preflight is None or preflight.status is None or preflight.status.passed is None:
        return "Unknown", Reason.NOT_CHECKED, "the node's agent has not reported a verdict yet"
    if not preflight.status.passed:
        return "False", Reason.FAILED, why_not(preflight)
    mode = f", mode {preflight.status.mode}" if preflight.status.mode else ""
    return "True", Reason.PASSED, f"the node passed its preflight checks{mode}"
