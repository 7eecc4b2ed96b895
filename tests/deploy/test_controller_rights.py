"""What the controller's ServiceAccount may do, asked of a real API server (SubjectAccessReview)."""

import pytest
from controlplane import ControlPlane
from waiting import until

import cluster.resources as names

WHO = f"system:serviceaccount:vm-system:{names.CONTROLLER_NAME}"
GKE, KUBEVM = "vm.cluster.gke.io", "kubevm.io"


def may(
    plane: ControlPlane, verb: str, resource: str, *, group: str = "", namespace: str = "", name: str = ""
) -> bool:
    plural, _, subresource = resource.partition("/")
    attributes = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "namespace": namespace,
        "name": name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": WHO,
            "groups": ["system:serviceaccounts", "system:serviceaccounts:vm-system", "system:authenticated"],
            "resourceAttributes": attributes,
        },
    }
    _, answer = plane.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


@pytest.fixture(scope="module")
def plane(installed: ControlPlane) -> ControlPlane:
    """The control plane once its authorizer has seen the roles."""
    until(lambda: may(installed, "list", "nodes"), "the controller's rights")
    return installed


@pytest.mark.parametrize(
    ("verbs", "resource", "where"),
    [
        ("list watch patch", "nodes", {}),
        ("patch", "nodes/status", {}),
        ("get list watch create", "vmruntimes", {"group": GKE}),
        ("update", "vmruntimes/status", {"group": GKE}),
        ("list watch create patch delete", "nodepreflights", {"group": KUBEVM}),
        (
            "get list watch create patch delete",
            "vmruntimepreflightchecks",
            {"group": GKE, "namespace": "vm-system"},
        ),
        ("update", "vmruntimepreflightchecks/status", {"group": GKE, "namespace": "vm-system"}),
        ("list", "virtualmachines", {"group": "kubevirt.io"}),
        ("list", "virtualmachineinstances", {"group": "kubevirt.io"}),
        ("list", "virtualmachines", {"group": GKE}),
        ("create patch", "events", {"namespace": "default"}),
        ("get list watch", "pods", {"namespace": "vm-system"}),
        ("list watch create", "daemonsets", {"group": "apps", "namespace": "vm-system"}),
        (
            "patch delete",
            "daemonsets",
            {"group": "apps", "namespace": "vm-system", "name": names.AGENT_NAME},
        ),
        ("create", "leases", {"group": "coordination.k8s.io", "namespace": "vm-system"}),
        (
            "get update",
            "leases",
            {"group": "coordination.k8s.io", "namespace": "vm-system", "name": names.LEASE_NAME},
        ),
    ],
)
def test_suffices(plane: ControlPlane, verbs: str, resource: str, where: dict[str, str]) -> None:
    assert [verb for verb in verbs.split() if not may(plane, verb, resource, **where)] == []


@pytest.mark.parametrize(
    ("verbs", "resource", "where"),
    [
        ("delete deletecollection create update patch watch", "virtualmachines", {"group": "kubevirt.io"}),
        ("delete deletecollection create update patch", "virtualmachines", {"group": GKE}),
        ("update patch delete", "vmruntimes", {"group": GKE}),
        ("update", "nodepreflights", {"group": KUBEVM}),
        ("update patch", "nodepreflights/status", {"group": KUBEVM}),
        ("get create update delete", "nodes", {}),
        ("get update", "nodes/status", {}),
        ("get list", "secrets", {"namespace": "vm-system"}),
        ("get list", "pods", {"namespace": "default"}),
        ("create delete", "pods", {"namespace": "vm-system"}),
        ("create", "daemonsets", {"group": "apps", "namespace": "default"}),
        ("patch delete", "daemonsets", {"group": "apps", "namespace": "vm-system", "name": "another"}),
        ("patch", "deployments", {"group": "apps", "namespace": "vm-system", "name": names.CONTROLLER_NAME}),
        ("get list", "configmaps", {"namespace": "vm-system"}),
        ("update", "leases", {"group": "coordination.k8s.io", "namespace": "vm-system", "name": "another"}),
        ("create", "serviceaccounts/token", {"namespace": "vm-system", "name": names.AGENT_NAME}),
        ("escalate bind impersonate", "clusterroles", {"group": "rbac.authorization.k8s.io"}),
        ("patch delete", "validatingadmissionpolicies", {"group": "admissionregistration.k8s.io"}),
    ],
)
def test_goes_no_further(plane: ControlPlane, verbs: str, resource: str, where: dict[str, str]) -> None:
    assert [verb for verb in verbs.split() if may(plane, verb, resource, **where)] == []
