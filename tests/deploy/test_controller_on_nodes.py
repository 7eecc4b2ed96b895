"""What the controller may write of a Node, tried on a real API server with the controller's own token."""

import secrets
from collections.abc import Iterator, Mapping

import pytest
from controlplane import ControlPlane
from waiting import until

from cluster import shapes
from cluster.credentials import Credentials
from cluster.resources import CONTROLLER_NAME, MODE_LABEL, NAMESPACE, NODES, PASSED_CONDITION
from cluster.transport import ApiError, Client

NODE = "held-node"
BY = "ValidatingAdmissionPolicy 'vm-preflight-controller'"
METADATA = f"of a node's metadata, the controller of vm-preflight may change the label {MODE_LABEL} only"
SPEC = "the controller of vm-preflight may not change a node's spec, such as its taints"
STATUS = (
    f"of a node's status, the controller of vm-preflight may change the condition {PASSED_CONDITION} only"
)
TIME = "2026-01-01T00:00:00Z"
Change = Mapping[str, object]


def condition(kind: str, status: str = "True") -> Change:
    told = {"reason": "AReason", "message": "a message"}
    return {
        "type": kind,
        "status": status,
        **told,
        "lastHeartbeatTime": TIME,
        "lastTransitionTime": TIME,
    }


@pytest.fixture(scope="module")
def controller(installed: ControlPlane) -> Iterator[Client]:
    """The controller's client, and a Node as large as a kubelet makes one, once the policy is in force."""
    images = [
        {"names": [f"registry.example/a/rather/long/name-{number}@sha256:{number:064}"], "sizeBytes": number}
        for number in range(50)  # a kubelet's default nodeStatusMaxImages
    ]
    metadata = {
        "name": NODE,
        "labels": {f"example.com/label-{number}": "x" * 63 for number in range(50)},
        "annotations": {"example.com/a": "b" * 1000},
    }
    kubelets = [condition(kind) for kind in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")]
    status = {"conditions": kubelets, "images": images, "capacity": {"cpu": "2"}, "allocatable": {"cpu": "2"}}
    taints = [{"key": "example.com/taint", "effect": "NoSchedule"}]
    node = {"metadata": metadata, "spec": {"taints": taints}, "status": status}
    assert installed.request("POST", NODES.path(), node)[0] == 201
    token = installed.token(CONTROLLER_NAME, NAMESPACE)
    client = Client(
        Credentials(installed.server, ca_file=str(installed.ca_file), authorization=lambda: f"Bearer {token}")
    )

    def is_held() -> bool:
        label = {"example.com/probe": secrets.token_hex(8)}  # else it is no change, which is never refused
        return METADATA in refusal(client, "", {"metadata": {"labels": label}})

    until(is_held, "the policy is in force")
    yield client
    client.close()
    installed.request("DELETE", NODES.path(NODE))


def refusal(client: Client, subresource: str, change: Change) -> str:
    """Why a change is refused; empty where it was made."""
    try:
        client.patch_by_keys(NODES.path(NODE, subresource=subresource), change)
    except ApiError as error:
        return str(error)
    return ""


def test_it_may_set_change_and_remove_its_label_and_its_condition(
    installed: ControlPlane, controller: Client
) -> None:
    for value in ("hardware", "none"):
        assert refusal(controller, "", {"metadata": {"labels": {MODE_LABEL: value}}}) == ""
        node = installed.get_json("node", NODE)
        assert shapes.text(node, "metadata", "labels", MODE_LABEL) == value
    for status in ("True", "Unknown"):
        assert (
            refusal(controller, "status", {"status": {"conditions": [condition(PASSED_CONDITION, status)]}})
            == ""
        )
        found = shapes.items(installed.get_json("node", NODE), "status", "conditions")
        assert {shapes.text(one, "type"): shapes.text(one, "status") for one in found} == {
            "Ready": "True",
            "MemoryPressure": "True",
            "DiskPressure": "True",
            "PIDPressure": "True",
            PASSED_CONDITION: status,
        }
    assert refusal(controller, "", {"metadata": {"labels": {MODE_LABEL: None}}}) == ""
    gone = {"status": {"conditions": [{"$patch": "delete", "type": PASSED_CONDITION}]}}
    assert refusal(controller, "status", gone) == ""
    node = installed.get_json("node", NODE)
    assert MODE_LABEL not in node["metadata"]["labels"]
    assert len(node["status"]["conditions"]) == 4


@pytest.mark.parametrize(
    ("subresource", "change", "message"),
    [
        ("", {"spec": {"taints": [{"key": "example.com/other", "effect": "NoExecute"}]}}, SPEC),
        ("", {"spec": {"taints": None}}, SPEC),
        ("", {"spec": {"unschedulable": True}}, SPEC),
        ("", {"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}}, SPEC),
        ("", {"metadata": {"labels": {"kubevm.io/VM-SkipSchedule": ""}}}, METADATA),
        ("", {"metadata": {"labels": {"example.com/label-1": "other"}}}, METADATA),
        ("", {"metadata": {"labels": {"example.com/label-1": None}}}, METADATA),
        ("", {"metadata": {"labels": {MODE_LABEL: "none", "node-role.kubernetes.io/x": ""}}}, METADATA),
        ("", {"metadata": {"labels": {"$patch": "replace", MODE_LABEL: "none"}}}, METADATA),
        ("", {"metadata": {"annotations": {"example.com/a": "other"}}}, METADATA),
        ("", {"metadata": {"annotations": {"example.com/new": ""}}}, METADATA),
        ("", {"metadata": {"finalizers": ["example.com/held"]}}, METADATA),
        (
            "",
            {
                "metadata": {
                    "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]
                }
            },
            METADATA,
        ),
        ("status", {"metadata": {"labels": {"example.com/new": ""}}}, METADATA),
        ("status", {"metadata": {"annotations": {"example.com/new": ""}}}, METADATA),
        ("status", {"status": {"conditions": [condition("Ready", "False")]}}, STATUS),
        ("status", {"status": {"conditions": [condition("example.com/Other")]}}, STATUS),
        ("status", {"status": {"conditions": [{"$patch": "delete", "type": "Ready"}]}}, STATUS),
        ("status", {"status": {"conditions": [{"$patch": "replace"}, condition(PASSED_CONDITION)]}}, STATUS),
        ("status", {"status": {"capacity": {"cpu": "64"}}}, STATUS),
        ("status", {"status": {"allocatable": {"devices.kubevirt.io/kvm": "110"}}}, STATUS),
        ("status", {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}}, STATUS),
        ("status", {"status": {"images": None}}, STATUS),
        ("status", {"status": {"nodeInfo": {"kubeletVersion": "v9.9.9"}}}, STATUS),
    ],
)
def test_anything_else_is_refused(controller: Client, subresource: str, change: Change, message: str) -> None:
    said = refusal(controller, subresource, change)

    assert BY in said
    assert message in said


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_nodes_are_neither_made_nor_replaced_nor_deleted(
    installed: ControlPlane, controller: Client, method: str
) -> None:
    token = installed.token(CONTROLLER_NAME, NAMESPACE)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    path = NODES.path() if method == "POST" else NODES.path(NODE)

    status, answer = installed.request(method, path, node, token=token)

    assert (status, "cannot" in str(answer["message"])) == (403, True)


def test_another_node_of_the_same_name_is_left_alone(controller: Client) -> None:
    with pytest.raises(ApiError, match=r"metadata\.uid: Invalid value"):
        controller.patch_by_keys(
            NODES.path(NODE), {"metadata": {"uid": "former", "labels": {MODE_LABEL: "none"}}}
        )
