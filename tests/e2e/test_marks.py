"""Condition and label on real Nodes, beside the real kubelet and the real scheduler."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from endtoend import MACHINES, EndToEnd
from realcluster import RealCluster
from story import Story
from waiting import until

from cluster.resources import MODE_LABEL, PASSED_CONDITION, SKIP_LABEL

SECONDS = 120.0
PUBLISH = '{"spec":{"preflight":{"nodeCondition":%s,"nodeLabel":%s}}}'
KUBELETS = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}


def conditions(cluster: EndToEnd, node: str) -> dict[str, dict[str, str]]:
    """A node's conditions by type."""
    found = cluster.kubectl.get("node", node)["status"]["conditions"]
    return {one["type"]: one for one in found}


def shown(cluster: EndToEnd, node: str) -> tuple[str | None, str | None]:
    """Label and status of the condition, None where they are not there."""
    label = cluster.kubectl.get("node", node)["metadata"]["labels"].get(MODE_LABEL)
    return label, conditions(cluster, node).get(PASSED_CONDITION, {}).get("status")


@pytest.fixture
def published(enabled: EndToEnd, story: Story) -> Iterator[EndToEnd]:
    """The cluster with both opt-ins, shown on every node."""
    nodes = enabled.nodes_that_take_part()
    with story.measure("nodeCondition and nodeLabel → shown on every node"):
        enabled.kubectl("patch", "vmruntime", "vmruntime", "--type=merge", "-p", PUBLISH % ("true", "true"))
        for node in nodes:
            until(lambda node=node: shown(enabled, node) == ("hardware", "True"), node, seconds=SECONDS)
    story.say(enabled.kubectl("get", "nodes", "-L", MODE_LABEL))
    yield enabled
    with story.measure("both off → gone from every node"):
        enabled.kubectl("patch", "vmruntime", "vmruntime", "--type=merge", "-p", PUBLISH % ("false", "false"))
        for node in nodes:
            until(lambda node=node: shown(enabled, node) == (None, None), node, seconds=SECONDS)


def test_kubelet_and_controller_write_side_by_side(
    published: EndToEnd, own: RealCluster, story: Story
) -> None:
    """A kubelet that writes its own conditions leaves ours alone, and we leave its alone."""
    node = published.nodes_that_take_part()[-1]
    before = conditions(published, node)
    assert before.keys() >= KUBELETS
    with story.step(f"{node}'s kubelet is started anew, and writes all of its status"):
        began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        own.node(node).stop_kubelet()
        own.node(node).start_kubelet()
        own.node(node).wait_ready()
        until(
            lambda: all(conditions(published, node)[kind]["lastHeartbeatTime"] >= began for kind in KUBELETS),
            "the kubelet's heartbeat",
            seconds=SECONDS,
        )
    after = conditions(published, node)
    assert after[PASSED_CONDITION] == before[PASSED_CONDITION]
    assert shown(published, node) == ("hardware", "True")


@pytest.fixture
def lost(published: EndToEnd, own: RealCluster, story: Story) -> Iterator[tuple[EndToEnd, str]]:
    """A cluster of which one node has just lost its device, and shows it; the node has it back afterwards."""
    node = published.nodes_that_take_part()[-1]
    with story.measure("/dev/kvm gone while nobody asks → condition and label of the Node"):
        own.node(node).hide_kvm()
        until(lambda: shown(published, node) == ("none", "False"), "the node shows it", seconds=SECONDS)
    yield published, node
    with story.measure("/dev/kvm back → condition and label of the Node"):
        own.node(node).show_kvm()
        until(lambda: shown(published, node) == ("hardware", "True"), "the node shows it", seconds=SECONDS)


def test_a_lost_device_is_shown_and_virtual_machines_are_placed_elsewhere(
    lost: tuple[EndToEnd, str], story: Story
) -> None:
    """A node loses its device: its condition, its label and an Event say so, and pods of VMs go elsewhere."""
    cluster, node = lost
    found = conditions(cluster, node)
    assert found.keys() >= KUBELETS
    assert found["Ready"]["status"] == "True"
    assert found[PASSED_CONDITION]["message"].startswith("KVM DeviceMissing")
    told = until(
        lambda: cluster.kubectl("get", "events", "--field-selector", "reason=NodeNotReadyForVMs") or None,
        "the Event",
        seconds=SECONDS,
    )
    story.say(told)
    assert node in told

    others = [name for name in cluster.nodes_that_take_part() if name != node]
    skipped, left = others[0], others[1:]
    cluster.kubectl("label", "node", skipped, f"{SKIP_LABEL}=")
    cluster.kubectl("create", "namespace", f"{MACHINES}-placement")
    try:
        for number in range(4):
            launcher = pod(f"launcher-{number}", cluster.image, [NOT_SKIPPED, NOT_FAILED])
            cluster.kubectl("create", "-n", f"{MACHINES}-placement", "-f", "-", stdin=json.dumps(launcher))
        placed = until(lambda: everywhere(cluster, 4), "the scheduler has placed them", seconds=SECONDS)
        assert set(placed) <= {*left}
        story.say(
            f"{node} has failed, {skipped} is skipped: 4 pods with a VM's affinity went to {set(placed)}"
        )
    finally:
        cluster.kubectl("delete", "namespace", f"{MACHINES}-placement", "--wait=false")
        cluster.kubectl("label", "node", skipped, f"{SKIP_LABEL}-")


NOT_SKIPPED = {"key": SKIP_LABEL, "operator": "DoesNotExist"}
NOT_FAILED = {"key": MODE_LABEL, "operator": "NotIn", "values": ["none"]}


def pod(name: str, image: str, expressions: list[dict[str, Any]]) -> dict[str, Any]:
    """A pod with the affinity that a virtual machine gets from deploy/components/placement."""
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    container = {"name": "main", "image": image, "args": ["version"]}
    spec = {"affinity": affinity, "containers": [container], "restartPolicy": "Never"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def everywhere(cluster: EndToEnd, count: int) -> list[str] | None:
    """The nodes of all pods, None while some are not placed."""
    pods = cluster.kubectl.get("pods", "-n", f"{MACHINES}-placement")["items"]
    nodes = [one["spec"].get("nodeName", "") for one in pods]
    return nodes if len(nodes) == count and all(nodes) else None
