from datetime import UTC, datetime

from cluster.node_preflight import NodePreflight, NodeStatus, RunRequest
from controller import page
from controller.objects import Check, Memory, Meta, Node, Runtime


def test_the_page_shows_the_switch_the_checks_and_the_failed_nodes_first():
    failed: dict[str, object] = {
        "checkName": "KVM",
        "passed": False,
        "message": "<gone>",
        "hint": "modprobe kvm",
    }
    condition = {"type": "Ready", "status": "False", "message": "check-1 failed"}
    shown = page.render(
        Runtime(
            Meta("vmruntime"), memory=Memory(enabled=True), status={"ready": False, "conditions": [condition]}
        ),
        [Check(Meta("check-1"), passed=False, completion=datetime.now(UTC), message="0 of 1 nodes passed")],
        [Node(Meta("a-good")), Node(Meta("b-bad")), Node(Meta("c-new")), Node(Meta("d-asked"))],
        {
            "a-good": NodePreflight("a-good", status=NodeStatus(passed=True, mode="Hardware")),
            "b-bad": NodePreflight("b-bad", status=NodeStatus(passed=False, results=(failed,))),
            "d-asked": NodePreflight("d-asked", run=RunRequest("uid", "check-2")),
        },
        note="stands by",
    )
    for text in (
        "enabled",
        "not ready",
        "check-1 failed",
        "0 of 1 nodes passed",
        "&lt;gone&gt;",
        "modprobe kvm",
        "stands by",
        '<td>d-asked</td><td><span class="badge odd">pending</span></td>',
    ):
        assert text in shown
    assert shown.index("b-bad") < shown.index("c-new") < shown.index("a-good")


def test_the_page_of_an_empty_cluster():
    assert "no VMRuntime" in page.render(None, [], [], {})
