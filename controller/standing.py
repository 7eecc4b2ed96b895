"""How a node stands, in the words that the metrics and ``kubectl vm-preflight`` share. Pure."""

from enum import StrEnum

from cluster.node_preflight import NodePreflight


class State(StrEnum):
    """How a node stands; every node that the agents serve has one."""

    PASSED = "Passed"
    FAILED = "Failed"
    PENDING = "Pending"
    SKIPPED = "Skipped"
    UNKNOWN = "Unknown"


def state_of(preflight: NodePreflight | None, *, skipped: bool) -> State:
    """Returns how a node stands, by its NodePreflight."""
    if skipped:
        return State.SKIPPED
    if preflight is None:
        return State.UNKNOWN
    if preflight.pending is not None:
        return State.PENDING
    if preflight.status is None or preflight.status.passed is None:
        return State.UNKNOWN
    return State.PASSED if preflight.status.passed else State.FAILED
