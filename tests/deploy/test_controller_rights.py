"""What the controller's token may do: all that the API server lists, and some of the rest tried.

That what is listed suffices, the tests of the controller show: they run with these rights.
"""

import pytest
from controlplane import ControlPlane
from rights import listed
from waiting import until

import cluster.resources as names

IN_THE_CLUSTER = {
    "events": "create patch",
    "nodes": "list patch watch",
    "nodes/status": "patch",
    "nodepreflights.kubevm.io": "create delete list patch watch",
    "vmruntimes.vm.cluster.gke.io": "create get list watch",
    "vmruntimes/status.vm.cluster.gke.io": "update",
    "virtualmachines.kubevirt.io": "list",
    "virtualmachineinstances.kubevirt.io": "list",
    "virtualmachines.vm.cluster.gke.io": "list",
    "virtualmachineinstances.vm.cluster.gke.io": "list",  # a kind that GDC does not have
}
IN_ITS_NAMESPACE = {
    "vmruntimepreflightchecks.vm.cluster.gke.io": "create delete get list patch watch",
    "vmruntimepreflightchecks/status.vm.cluster.gke.io": "update",
    "daemonsets.apps": "create list watch",
    f"daemonsets.apps {names.AGENT_NAME}": "delete patch",
    "pods": "get list watch",
    "leases.coordination.k8s.io": "create",
    f"leases.coordination.k8s.io {names.LEASE_NAME}": "get update",
}


@pytest.fixture(scope="module")
def token(installed: ControlPlane) -> str:
    """The controller's token, once the API server has seen its roles."""
    token = installed.token(names.CONTROLLER_NAME, names.NAMESPACE)
    until(lambda: "pods" in listed(installed, token, names.NAMESPACE), "the controller's rights")
    until(lambda: "nodes" in listed(installed, token, "default"), "the controller's rights")
    return token


@pytest.mark.parametrize(
    ("namespace", "wanted"),
    [
        ("vm-system", {**IN_THE_CLUSTER, **IN_ITS_NAMESPACE}),
        ("default", IN_THE_CLUSTER),
        ("kube-system", IN_THE_CLUSTER),
    ],
)
def test_all_that_it_may(installed: ControlPlane, token: str, namespace: str, wanted: dict[str, str]) -> None:
    everybodys = listed(installed, installed.token("default", "default"), "default")

    found = listed(installed, token, namespace)

    assert {what: verbs for what, verbs in found.items() if what not in everybodys} == wanted


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/vm-system/secrets"),
        ("GET", "/api/v1/namespaces/vm-system/configmaps"),
        ("GET", "/api/v1/namespaces/default/pods"),
        ("DELETE", "/api/v1/namespaces/vm-system/pods/some"),
        ("PATCH", names.VM_RUNTIMES.path(names.VM_RUNTIME_NAME)),
        ("DELETE", names.VM_RUNTIMES.path(names.VM_RUNTIME_NAME)),
        ("PATCH", names.NODE_PREFLIGHTS.path("n1", subresource="status")),
        ("PATCH", names.DAEMON_SETS.path("another", namespace="vm-system")),
        ("POST", names.DAEMON_SETS.path(namespace="default")),
        ("PATCH", f"/apis/apps/v1/namespaces/vm-system/deployments/{names.CONTROLLER_NAME}"),
        ("POST", f"/api/v1/namespaces/vm-system/serviceaccounts/{names.AGENT_NAME}/token"),
        ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/vmruntime-controller-manager"),
        ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/vm-preflight-gate"),
        *(("DELETE", kind.path("vm", namespace="default")) for kind in names.VIRTUAL_MACHINES),
        *(("DELETE", kind.path(namespace="default")) for kind in names.VIRTUAL_MACHINES),
    ],
)
def test_goes_no_further(installed: ControlPlane, token: str, method: str, path: str) -> None:
    status, answer = installed.request(method, path, None if method in ("GET", "DELETE") else {}, token=token)

    assert (status, answer["reason"]) == (403, "Forbidden")
