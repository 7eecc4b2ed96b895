"""Events on Nodes: at transitions only (interfaces.md)."""

import pytest

from cluster.node_preflight import NodePreflight, NodeStatus
from controller.objects import Meta, Node, NodeCondition
from controller.transitions import known_at_start, transitions, verdicts

BAD = ({"checkName": "KVM", "passed": False, "reason": "DeviceMissing"}, {"checkName": "CPU", "passed": True})


def preflight(passed: bool | None, *, answered: bool = True) -> NodePreflight:
    status = NodeStatus(passed=passed, results=() if passed else BAD) if answered else None
    return NodePreflight("w1", node_uid="uid", status=status)


@pytest.mark.parametrize(
    ("before", "passed", "reason"),
    [
        ({}, True, ""),
        ({}, None, ""),
        ({}, False, "NodeNotReadyForVMs"),
        ({"uid": True}, False, "NodeNotReadyForVMs"),
        ({"uid": False}, True, "NodeReadyForVMs"),
        ({"uid": True}, True, ""),
        ({"uid": False}, False, ""),
        ({"uid": False}, None, ""),
    ],
)
def test_a_change_is_told_and_nothing_else(before: dict[str, bool], passed: bool | None, reason: str):
    assert [news.reason for _, news in transitions(before, [preflight(passed)])] == (
        [reason] if reason else []
    )


def test_what_fails_is_named():
    ((_, news),) = transitions({}, [preflight(passed=False)])
    assert news.message == "KVM DeviceMissing; see kubectl get nodepreflight w1 -o yaml"


def test_a_node_keeps_its_verdict_while_nothing_is_asked_of_it():
    after = verdicts({}, [preflight(passed=False)], {"uid"})
    assert after == {"uid": False}
    assert verdicts(after, [], {"uid"}) == after  # disabled meanwhile
    assert verdicts(after, [preflight(None, answered=False)], {"uid"}) == after
    assert verdicts(after, [], set()) == {}  # the node is gone


@pytest.mark.parametrize(
    ("shown", "passed", "reason"),
    [
        (None, True, ""),
        (None, False, ""),  # nobody can tell whether that was told
        ("True", False, "NodeNotReadyForVMs"),
        ("False", True, "NodeReadyForVMs"),
        ("True", True, ""),
        ("False", False, ""),
        ("Unknown", False, ""),
        ("junk by hand", True, ""),
    ],
)
def test_a_change_while_no_controller_was_there_is_told_where_the_condition_shows_the_old(
    shown: str | None, passed: bool, reason: str
):
    node = Node(Meta("w1", "uid"), verdict=NodeCondition(shown, "Reason", "") if shown else None)
    found = [preflight(passed)]
    before = known_at_start(found, [node])
    assert [news.reason for _, news in transitions(before, found)] == ([reason] if reason else [])
