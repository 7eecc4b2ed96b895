"""The whole way on real parts, as an administrator goes it: from `kubectl apply -k deploy` to a VM refused.

Real: etcd, API server, controller manager, our controller with its own rights, probe, agent, command line,
and this machine's device. Stood in for: scheduler, kubelet and container runtime (`nodes.StandInKubelet`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import controllerprocess
import offspring
import pytest
from controllerprocess import PROGRAM
from controlplane import ControlPlane, ControlPlaneError
from nodes import StandInKubelet
from waiting import until

import cluster.resources as names

WITHOUT_KVM = Path(__file__).parents[1] / "hosts" / "no-kvm"
CHECKS = ("vmruntimepfc", "-n", names.NAMESPACE)
LAST = ".status.preflightCheckSummary"


@pytest.fixture
def plane(
    virtual_machine_kinds: ControlPlane, no_runtime: ControlPlane, tmp_path: Path
) -> Iterator[ControlPlane]:
    """The control plane with the controller running under its own ServiceAccount; nothing is left of it."""
    plane = virtual_machine_kinds
    log = tmp_path / "controller.log"
    controller = controllerprocess.start(plane, log=log)
    try:
        until(lambda: runtime(plane), f"the VMRuntime (log: {log})")
        yield plane
    finally:
        assert offspring.end(controller) == 0, offspring.tail(log)
        plane.kubectl("delete", *CHECKS[:1], "--all", *CHECKS[1:])
        plane.kubectl("delete", "npf", "--all")
        plane.kubectl("delete", "daemonset", "-n", names.NAMESPACE, "--all")


def runtime(plane: ControlPlane) -> Any:
    """The VMRuntime's status, None while there is no VMRuntime."""
    code, found = plane.request("GET", names.VM_RUNTIMES.path(names.VM_RUNTIME_NAME))
    return found.get("status") if code == 200 else None


def verdict(plane: ControlPlane, *, after: str = "") -> Any:
    """The summary of the last finished check, None while none but ``after`` has finished."""

    def look() -> Any:
        summary = (runtime(plane) or {}).get("preflightCheckSummary", {})
        finished = "preflightCheckPassed" in summary and summary["preflightCheckName"] != after
        return summary if finished else None

    return until(look, "a verdict", seconds=60)


def test_from_installation_to_the_verdict_and_back(plane: ControlPlane, tmp_path: Path) -> None:
    command_line = ["vmruntime", f"--kubeconfig={plane.kubeconfig}"]
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "vm"}}
    create = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines?dryRun=All"

    with StandInKubelet(plane, "real"):
        assert offspring.start([PROGRAM, "enable", *command_line], log=tmp_path / "enable").wait() == 0
        first = verdict(plane)
        assert first["preflightCheckPassed"] is True, plane.kubectl("get", "npf", "-o", "yaml")
        assert first["featureStatuses"]["KVM"] == {"passed": True}
        until(lambda: runtime(plane)["ready"], "ready")
        assert plane.kubectl("get", "vmruntime").splitlines()[1].split()[2:] == ["true", "true", "true"]
        until(lambda: plane.request("POST", create, machine)[0] == 201, "virtual machines let through")

        plane.kubectl("label", "node", "real", f"{names.SKIP_LABEL}=")
        until(lambda: plane.get_json("npf", "real")["spec"]["skip"], "the node skipped")
        plane.kubectl("label", "node", "real", f"{names.SKIP_LABEL}-")
        again = verdict(plane, after=first["preflightCheckName"])
        assert again["preflightCheckPassed"] is True

        with StandInKubelet(plane, "without-kvm", host_root=WITHOUT_KVM):
            until(lambda: "without-kvm" in plane.kubectl("get", "npf", "-o", "name"), "the node is seen")
            asked = offspring.start(
                [PROGRAM, "check", "vmruntimepfc", f"--kubeconfig={plane.kubeconfig}"], log=tmp_path / "check"
            )
            assert asked.wait() == 1, offspring.tail(tmp_path / "check")
            failed = verdict(plane, after=again["preflightCheckName"])
            assert failed["preflightCheckPassed"] is False
            assert failed["featureStatuses"]["KVM"] == {"passed": False, "failedNodeNum": 1}
            name = failed["preflightCheckName"]
            nodes = plane.get_json(*CHECKS, name)["status"]["checks"]
            assert {node: found["passed"] for node, found in nodes.items()} == {
                "real": True,
                "without-kvm": False,
            }
            refused = f"preflight check {name} failed (KVM"
            until(
                lambda: refused in str(plane.request("POST", create, machine)[1].get("message")),
                "a refusal that names check and feature",
            )

        assert offspring.start([PROGRAM, "disable", *command_line], log=tmp_path / "disable").wait() == 0
        until(
            lambda: plane.get_json("daemonset", "-n", names.NAMESPACE)["items"] == [], "the DaemonSet deleted"
        )
        until(lambda: plane.get_json("npf")["items"] == [], "the NodePreflights deleted")
        assert runtime(plane)["ready"] is False
    with pytest.raises(ControlPlaneError, match="NotFound"):
        plane.kubectl("get", "node", "real")
