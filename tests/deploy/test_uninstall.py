"""`kubectl delete -k deploy` on a real API server, while the VM runtime is enabled and no controller runs."""

from pathlib import Path

from controlplane import DEPLOY, ControlPlane
from waiting import until

KINDS = (
    "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings"
)
RUNTIME = """
apiVersion: vm.cluster.gke.io/v1
kind: VMRuntime
metadata: {name: vmruntime}
spec: {enabled: true}
---
apiVersion: vm.cluster.gke.io/v1
kind: VMRuntimePreflightCheck
metadata: {name: unfinished, namespace: vm-system}
"""


def test_leaves_nothing_and_can_be_installed_again(tmp_path: Path) -> None:
    with ControlPlane(controller_manager=True, directory=tmp_path) as plane:
        ours = ("get", KINDS, "-l", "app.kubernetes.io/name=vm-preflight", "-o", "name")
        plane.apply_deploy()
        plane.kubectl("create", "-f", "-", stdin=RUNTIME)
        assert len(plane.kubectl(*ours).split()) > 10

        plane.kubectl("delete", "-k", DEPLOY, "--wait=false")  # kubectl's own waiting was seen to hang

        until(lambda: plane.kubectl(*ours) == "", "nothing is left")
        plane.apply_deploy()
        assert plane.get_json("vmruntimes")["items"] == []
