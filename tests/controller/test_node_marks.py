"""Condition and label of Nodes: what is shown of which verdict, and when something is written."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cluster_model import ClusterModel

from cluster import shapes
from cluster.node_preflight import NodePreflight, NodeStatus
from cluster.resources import MODE_LABEL, PASSED_CONDITION, SKIP_LABEL
from controller.actions import LabelNode, WriteNodeCondition
from controller.node_marks import Published, marks
from controller.objects import Meta, Node, NodeCondition

THEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)
BOTH = Published(condition=True, label=True)
BAD = ({"checkName": "KVM", "passed": False, "reason": "DeviceMissing"},)
PASSED = NodeStatus(passed=True, mode="Hardware")
FAILED = NodeStatus(passed=False, mode="None", results=BAD)
WHY = "KVM DeviceMissing; see kubectl get nodepreflight w1 -o yaml"
TRUE = NodeCondition("True", "PreflightPassed", "the node passed its preflight checks, mode Hardware", THEN)
FALSE = NodeCondition("False", "PreflightFailed", WHY, THEN)


def node(*, skipped: bool = False, label: str | None = None, verdict: NodeCondition | None = None) -> Node:
    labels = {**({SKIP_LABEL: ""} if skipped else {}), **({} if label is None else {MODE_LABEL: label})}
    return Node(Meta("w1", "uid"), labels, verdict=verdict)


def written(
    node: Node,
    status: NodeStatus | None,
    *,
    published: Published = BOTH,
    serves: bool = True,
    node_uid: str = "uid",
) -> dict[type, object]:
    """What is written to the one node, by kind of action."""
    preflight = NodePreflight("w1", node_uid=node_uid, status=status)
    found = marks(published, [node], {"w1": node} if serves else {}, {"w1": preflight}, NOW)
    return {type(one): one.value if isinstance(one, LabelNode) else one.condition for one in found}


@pytest.mark.parametrize(
    ("skipped", "status", "label", "condition"),
    [
        (False, None, "none", ("Unknown", "NotCheckedYet")),
        (False, NodeStatus(run_id="1"), "none", ("Unknown", "NotCheckedYet")),
        (False, PASSED, "hardware", ("True", "PreflightPassed")),
        (False, NodeStatus(passed=True, mode="Emulation"), "emulation", ("True", "PreflightPassed")),
        (False, NodeStatus(passed=True, mode="None"), "none", ("True", "PreflightPassed")),
        (False, NodeStatus(passed=True), None, ("True", "PreflightPassed")),
        (False, NodeStatus(passed=True, mode="junk by hand"), None, ("True", "PreflightPassed")),
        (False, FAILED, "none", ("False", "PreflightFailed")),
        (False, replace(FAILED, mode="Hardware"), "none", ("False", "PreflightFailed")),
        (True, PASSED, "none", ("Unknown", "Skipped")),
        (True, FAILED, "none", ("Unknown", "Skipped")),
    ],
)
def test_what_a_node_shows(
    skipped: bool, status: NodeStatus | None, label: str | None, condition: tuple[str, str]
):
    shown = written(node(skipped=skipped, label="old"), status)
    assert shown[LabelNode] == label
    found = shown[WriteNodeCondition]
    assert isinstance(found, NodeCondition)
    assert (found.status, found.reason, found.since) == (*condition, NOW)


def test_messages_say_why_and_where_to_look():
    assert written(node(), FAILED)[WriteNodeCondition] == replace(FALSE, since=NOW)
    assert written(node(), PASSED)[WriteNodeCondition] == replace(TRUE, since=NOW)


def test_the_verdict_of_another_node_of_the_same_name_counts_for_nothing():
    shown = written(node(), PASSED, node_uid="former")
    assert shown[LabelNode] == "none"
    assert isinstance(shown[WriteNodeCondition], NodeCondition)
    assert shown[WriteNodeCondition].reason == "NotCheckedYet"


def test_what_is_right_already_is_not_written():
    assert written(node(label="hardware", verdict=TRUE), PASSED) == {}
    assert written(node(label="none", verdict=FALSE), FAILED) == {}
    assert written(node(), PASSED, published=Published()) == {}
    assert written(node(), PASSED, serves=False) == {}


@pytest.mark.parametrize(
    ("present", "since"),
    [
        (replace(TRUE, message="edited"), THEN),
        (replace(TRUE, reason=""), THEN),
        (replace(TRUE, since=None), NOW),
        (replace(TRUE, status="False"), NOW),
        (replace(TRUE, status=""), NOW),
        (None, NOW),
    ],
)
def test_an_edited_condition_is_put_right_and_its_time_moves_with_the_status_only(
    present: NodeCondition | None, since: datetime
):
    shown = written(node(label="hardware", verdict=present), PASSED)
    assert shown == {WriteNodeCondition: replace(TRUE, since=since)}


@pytest.mark.parametrize(
    ("published", "serves", "gone"),
    [
        (Published(), True, {LabelNode: None, WriteNodeCondition: None}),
        (Published(condition=True), True, {LabelNode: None}),
        (Published(label=True), True, {WriteNodeCondition: None}),
        (BOTH, False, {LabelNode: None, WriteNodeCondition: None}),
    ],
)
def test_marks_are_taken_away_where_they_are_not_wanted(
    published: Published, serves: bool, gone: Mapping[type, object]
):
    assert written(node(label="hardware", verdict=TRUE), PASSED, published=published, serves=serves) == gone


def shown(cluster: ClusterModel) -> dict[str, tuple[str, str]]:
    """The label and the condition's reason of every node that has any of them."""
    found = {}
    for name, wire in cluster.nodes.items():
        label = shapes.text(wire, "metadata", "labels", MODE_LABEL)
        conditions = shapes.items(wire, "status", "conditions")
        reasons = [
            shapes.text(one, "reason") for one in conditions if shapes.text(one, "type") == PASSED_CONDITION
        ]
        if label or reasons:
            found[name] = (label, *reasons)
    return found


def test_marks_follow_the_verdicts_the_opt_in_and_the_switch():
    cluster = ClusterModel()
    for name in ("a", "b"):
        cluster.add_node(name)
    cluster.add_node("windows", labels={"kubernetes.io/os": "windows"})
    cluster.settle()
    both: dict[str, object] = {"nodeCondition": True, "nodeLabel": True}
    cluster.enable(preflight=both)
    cluster.settle()
    assert shown(cluster) == {"a": ("none", "NotCheckedYet"), "b": ("none", "NotCheckedYet")}
    cluster.answer("a")
    cluster.answer("b", passed=False)
    cluster.settle()
    verdicts = {"a": ("hardware", "PreflightPassed"), "b": ("none", "PreflightFailed")}
    assert shown(cluster) == verdicts
    assert len(cluster.created) == 1, "the opt-ins are no features"
    writes = cluster.writes
    cluster.wait(3600)
    cluster.settle()
    assert cluster.writes == writes, "nothing is written while nothing changes"
    cluster.label("b", skip=True)
    cluster.settle()
    assert shown(cluster) == {**verdicts, "b": ("none", "Skipped")}
    cluster.enable(preflight={**both, "nodeLabel": False})
    cluster.settle()
    assert shown(cluster) == {"a": ("", "PreflightPassed"), "b": ("", "Skipped")}
    cluster.enable(enabled=False)
    cluster.settle()
    assert shown(cluster) == {}
