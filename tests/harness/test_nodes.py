"""The stand-in kubelet, with the real agent and probe that `deploy/daemonset.yaml` names."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane import DEPLOY, ControlPlane
from nodes import StandInKubelet
from offspring import ended
from waiting import until

PREFLIGHTS = "/apis/kubevm.io/v1alpha1/nodepreflights"
RUN = {"id": "1", "check": "by-hand", "deadline": "2100-01-01T00:00:00Z"}


@pytest.fixture
def kubelet(installed: ControlPlane) -> Iterator[StandInKubelet]:
    """A node with its agent's pod running: the DaemonSet is applied by hand, as the controller would."""
    with StandInKubelet(installed, "standin") as kubelet:
        body = {"apiVersion": "kubevm.io/v1alpha1", "kind": "NodePreflight", "metadata": {"name": "standin"}}
        installed.request("POST", PREFLIGHTS, {**body, "spec": {"run": RUN}})
        installed.kubectl("apply", "-f", DEPLOY / "daemonset.yaml")
        yield kubelet
        installed.kubectl(
            "delete", "daemonset", "-n", "vm-system", "vm-preflight-agent", "--ignore-not-found"
        )
        installed.request("DELETE", f"{PREFLIGHTS}/standin")


def available(plane: ControlPlane) -> bool:
    status: Any = plane.get_json("daemonset", "-n", "vm-system", "vm-preflight-agent")["status"]
    return bool(status.get("numberAvailable") == 1)


def pids(kubelet: StandInKubelet) -> dict[str, int]:
    processes = {name: kubelet.process(name) for name in ("probe", "agent")}
    return {name: process.pid for name, process in processes.items() if process and process.poll() is None}


def test_a_pod_lives_and_ends_as_on_a_node(kubelet: StandInKubelet, installed: ControlPlane) -> None:
    until(lambda: available(installed), "the agent's pod available")
    first = pids(kubelet)
    assert set(first) == {"probe", "agent"}

    answered: Any = until(
        lambda: installed.request("GET", f"{PREFLIGHTS}/standin")[1].get("status"), "the agent's answer"
    )
    assert answered["runID"] == "1"
    assert {"KVM", "CPU", "Tun"} <= {result["checkName"] for result in answered["results"]}
    with urllib.request.urlopen(f"{kubelet.agent_url}/metrics") as answer:
        assert b"vm_preflight_passed" in answer.read()

    probe = kubelet.process("probe")
    assert probe is not None
    probe.kill()
    until(lambda: pids(kubelet).get("probe", first["probe"]) != first["probe"], "the probe started again")
    assert pids(kubelet)["agent"] == first["agent"]
    until(lambda: available(installed), "the pod available again")

    last = pids(kubelet)
    installed.kubectl("delete", "daemonset", "-n", "vm-system", "vm-preflight-agent")
    until(lambda: all(ended(pid) for pid in last.values()), "the end of the pod's processes")
    pods = ("pods", "-n", "vm-system", "-l", "app.kubernetes.io/component=agent")
    until(lambda: installed.get_json(*pods)["items"] == [], "the pod gone")


def test_a_host_root_is_what_the_probe_sees(installed: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "misc").write_text("")
    with StandInKubelet(installed, "empty", host_root=tmp_path):
        body = {"apiVersion": "kubevm.io/v1alpha1", "kind": "NodePreflight", "metadata": {"name": "empty"}}
        installed.request("POST", PREFLIGHTS, {**body, "spec": {"run": RUN}})
        installed.kubectl("apply", "-f", DEPLOY / "daemonset.yaml")
        try:
            answered: Any = until(
                lambda: installed.request("GET", f"{PREFLIGHTS}/empty")[1].get("status"), "the agent's answer"
            )
            assert answered["passed"] is False
            assert "KVM" in answered["failedChecks"]
        finally:
            installed.kubectl("delete", "daemonset", "-n", "vm-system", "vm-preflight-agent")
            installed.request("DELETE", f"{PREFLIGHTS}/empty")
    assert installed.request("GET", "/api/v1/nodes/empty")[0] == 404
