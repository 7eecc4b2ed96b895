"""Condition and label of Nodes: what is shown of which verdict, and when something is written."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cluster_model import ClusterModel
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

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


class Marks(RuleBasedStateMachine):
    """Random histories of verdicts, switches, edits and crashes: in the end every node shows the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = ClusterModel()
        self.opt_ins: dict[str, object] = {}

    @initialize()
    def install(self) -> None:
        for name in ("a", "b"):
            self.cluster.add_node(name)
        self.cluster.settle()
        self.switch(enabled=True, condition=True, label=True)
        self.look([])

    @rule(enabled=st.booleans(), condition=st.booleans(), label=st.booleans())
    def switch(self, enabled: bool, condition: bool, label: bool) -> None:
        self.opt_ins = {"nodeCondition": condition, "nodeLabel": label}
        self.cluster.enable(enabled=enabled, preflight=self.opt_ins)

    @rule(
        name=st.sampled_from("ab"),
        passed=st.booleans(),
        mode=st.sampled_from(("Hardware", "None", "")),
    )
    def verdict(self, name: str, passed: bool, mode: str) -> None:
        """An agent tells a verdict, whether it was asked or not."""
        if name in self.cluster.preflights:
            asked = shapes.text(self.cluster.preflights[name], "spec", "run", "id")
            self.cluster.preflights[name]["status"] = {"runID": asked, "passed": passed, "mode": mode}

    @rule(name=st.sampled_from("ab"), skip=st.booleans())
    def label(self, name: str, skip: bool) -> None:
        if name in self.cluster.nodes:
            self.cluster.label(name, skip=skip)

    @rule(name=st.sampled_from("ab"), there=st.booleans(), sure=st.booleans())
    def node(self, name: str, there: bool, sure: bool) -> None:
        there = there or not sure  # nodes go more seldom than they come
        if there and name not in self.cluster.nodes:
            self.cluster.add_node(name)
        elif not there and name in self.cluster.nodes:
            self.cluster.remove_node(name)

    @rule(name=st.sampled_from("ab"), value=st.sampled_from(("hardware", "none", "junk")))
    def edit_label(self, name: str, value: str) -> None:
        if name in self.cluster.nodes:
            metadata = self.cluster.nodes[name]["metadata"]
            assert isinstance(metadata, dict)
            metadata["labels"] = {**metadata["labels"], MODE_LABEL: value}

    @rule(name=st.sampled_from("ab"), status=st.sampled_from(("True", "False", "Unknown", "junk", 7, None)))
    def edit_condition(self, name: str, status: object) -> None:
        if name in self.cluster.nodes:
            edited = {"type": PASSED_CONDITION, "status": status, "lastTransitionTime": "by hand"}
            self.cluster.nodes[name]["status"] = {"conditions": [] if status is None else [edited]}

    @rule(crashes=st.lists(st.integers(0, 4), max_size=2), seconds=st.sampled_from((1, 31, 601)))
    def look_later(self, crashes: list[int], seconds: int) -> None:
        self.cluster.wait(seconds)
        self.look(crashes)

    @rule(crashes=st.lists(st.integers(0, 4), max_size=2))
    def look(self, crashes: list[int]) -> None:
        cluster = self.cluster
        cluster.settle(crash_after=crashes)
        in_force = cluster.status["enabled"] is True
        assert {name: self.marks_of(name) for name in cluster.nodes} == {
            name: self.truth(name) if in_force else ("", "") for name in cluster.nodes
        }
        writes = cluster.writes
        cluster.settle()
        assert cluster.writes == writes

    def teardown(self) -> None:
        if self.cluster.runtime is not None:
            self.look([])

    def marks_of(self, name: str) -> tuple[str, str]:
        """Label, and the condition's status."""
        wire = self.cluster.nodes[name]
        conditions = shapes.items(wire, "status", "conditions")
        ours = [
            shapes.text(one, "status") for one in conditions if shapes.text(one, "type") == PASSED_CONDITION
        ]
        return shapes.text(wire, "metadata", "labels", MODE_LABEL), "".join(ours)

    def truth(self, name: str) -> tuple[str, str]:
        """The same as it should be, said in another way than the program says it."""
        answer = shapes.mapping(self.cluster.preflights[name], "status")
        skipped = SKIP_LABEL in shapes.mapping(self.cluster.nodes[name], "metadata", "labels")
        known = "Unknown" if skipped or "passed" not in answer else str(answer["passed"])
        mode = shapes.text(answer, "mode").lower() if known == "True" else "none"
        return mode if self.opt_ins.get("nodeLabel") else "", known if self.opt_ins.get(
            "nodeCondition"
        ) else ""


Marks.TestCase.settings = settings(
    max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestMarks = Marks.TestCase
