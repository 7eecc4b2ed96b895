"""Which nodes the agents serve, so that they can take part: those that are open to the agent's pods.

The rule is the DaemonSet controller's own (kubernetes: pkg/controller/daemon, NodeShouldRunDaemonPod): node
selector, required node affinity, and taints of effect NoSchedule and NoExecute against the template's
tolerations together with those that the controller adds to each pod.
"""

import re
from collections.abc import Iterable

from cluster.shapes import flag, items, mapping, text, words
from controller.objects import Node, Taint, WireObject

INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"

ADDED_TOLERATIONS = (
    ("node.kubernetes.io/not-ready", NO_EXECUTE),
    ("node.kubernetes.io/unreachable", NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", NO_SCHEDULE),
)
"""What the DaemonSet controller adds (AddOrUpdateDaemonPodTolerations)."""
ADDED_ON_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", NO_SCHEDULE)


def fits(template: WireObject, node: Node) -> bool:
    """Tells whether the DaemonSet controller gives ``node`` a pod of ``template``."""
    spec = mapping(template, "spec")
    name = text(spec, "nodeName")
    return (
        (not name or name == node.name)
        and all(node.labels.get(key) == value for key, value in mapping(spec, "nodeSelector").items())
        and _affinity_matches(spec, node)
        and all(_tolerated(spec, taint) for taint in node.taints)
    )


def _affinity_matches(spec: WireObject, node: Node) -> bool:
    """Terms are alternatives; a list of none matches nothing, no list at all matches everything."""
    affinity = mapping(spec, "affinity", "nodeAffinity")
    if affinity.get("requiredDuringSchedulingIgnoredDuringExecution") is None:
        return True
    terms = items(affinity, "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    return any(_term_matches(term, node) for term in terms)


def _term_matches(term: WireObject, node: Node) -> bool:
    expressions, fields = items(term, "matchExpressions"), items(term, "matchFields")
    if not expressions and not fields:  # an empty term matches no node
        return False
    return all(_matches(one, node.labels.get(text(one, "key"))) for one in expressions) and all(
        text(one, "key") == "metadata.name" and _matches(one, node.name) for one in fields
    )


def _matches(expression: WireObject, value: str | None) -> bool:
    """Applies a NodeSelectorRequirement (core/v1) to a label's value; an unknown operator matches nothing."""
    values = words(expression, "values")
    match text(expression, "operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _compare(value, values) > 0
        case "Lt":
            return _compare(value, values) < 0
        case _:
            return False


def _compare(value: str | None, values: tuple[str, ...]) -> int:
    """Compares integers; 0 where one is none, which neither Gt nor Lt accepts."""
    if value is None or len(values) != 1 or not (INTEGER.fullmatch(value) and INTEGER.fullmatch(values[0])):
        return 0
    left, right = int(value), int(values[0])
    return (left > right) - (left < right)


def _tolerated(spec: WireObject, taint: Taint) -> bool:
    if taint.effect not in (NO_SCHEDULE, NO_EXECUTE):
        return True
    added = ADDED_TOLERATIONS + ((ADDED_ON_HOST_NETWORK,) if flag(spec, "hostNetwork") else ())
    return (taint.key, taint.effect) in added or any(
        _tolerates(one, taint) for one in items(spec, "tolerations")
    )


def _tolerates(toleration: WireObject, taint: Taint) -> bool:
    """Applies a Toleration (core/v1): an empty effect or key stands for all of them."""
    if text(toleration, "effect") not in ("", taint.effect):
        return False
    key = text(toleration, "key")
    operator = text(toleration, "operator") or "Equal"
    if operator == "Exists":
        return key in ("", taint.key)
    return operator == "Equal" and key == taint.key and text(toleration, "value") == taint.value


def those_that_fit(template: WireObject, nodes: Iterable[Node]) -> dict[str, Node]:
    """Returns the nodes that the DaemonSet serves, skipped ones too, by name."""
    return {node.name: node for node in nodes if fits(template, node)}
