"""The controller as a process: HTTP, metrics, election, an API server that goes away."""

import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from controllerlab import ControllerLab
from controlplane import free_ports

from cluster import lease, shapes
from cluster.resources import LEASE_NAME, LEASES, NAMESPACE, NODE_PREFLIGHTS


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_page_and_readiness(lab: ControllerLab, promtool: Path):
    for name in ("w1", "w2", "w3"):
        lab.add_node(name)
    lab.label("w3", skip=True)
    lab.agents.failing = {"w2"}
    (port,) = free_ports(1)
    lab.start(port=port)
    lab.installed()
    lab.enable()
    name = lab.verdict(passed=False)
    lines = {
        'vm_preflight_controller_nodes{state="Failed"} 1.0',
        'vm_preflight_controller_nodes{state="Passed"} 1.0',
        'vm_preflight_controller_nodes{state="Skipped"} 1.0',
        'vm_preflight_controller_nodes{state="Pending"} 0.0',
        "vm_preflight_controller_gate_open 0.0",
        'vm_preflight_controller_runs_total{result="Failed",trigger="Enabled"} 1.0',
        "vm_preflight_controller_run_duration_seconds_count 1.0",
        "vm_preflight_controller_leader 1.0",
    }
    lab.until(lambda: lines <= set(get(port, "/metrics")[1].splitlines()), "metrics")
    text = get(port, "/metrics")[1]
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert get(port, "/readyz")[0] == 200
    assert get(port, "/healthz")[0] == 200
    # the page shows what the watches have shown
    lab.until(lambda: name in get(port, "/")[1], "the page names the check")
    lab.until(lambda: "/dev/kvm: No such file or directory" in get(port, "/")[1], "the page says why")
    assert get(port, "/anything")[0] == 404


def test_a_standby_takes_over_when_the_leader_stops(lab: ControllerLab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "RELEASE_TIMEOUT", 60.0)  # a busy API server may take longer than a second
    lab.add_node("w1")
    lab.start(leader_election=True)
    lab.installed()

    def holder() -> str:
        return shapes.text(lab.get(LEASES, LEASE_NAME, namespace=NAMESPACE), "spec", "holderIdentity")

    first = holder()
    assert first
    standby = ControllerLab(lab.plane)
    standby.start(leader_election=True)
    lab.stop()
    lab.until(lambda: holder() not in ("", first), "the standby leads")
    lab.enable()
    lab.verdict(passed=True)
    standby.stop()
    standby.client.close()
    assert holder() == ""


@pytest.mark.timeout(180)
def test_an_api_server_that_is_killed_in_the_middle_of_a_run(lab: ControllerLab):
    lab.add_node("w1")
    lab.agents.silent = {"w1"}
    lab.start()
    lab.installed()
    lab.enable()
    lab.until(lambda: "w1" in lab.names(NODE_PREFLIGHTS), "the node is asked")
    lab.plane.stop_apiserver()
    lab.agents.speak("w1")
    lab.plane.start_apiserver()
    name = lab.verdict(passed=True, seconds=60)  # watches back off, up to five seconds each
    assert lab.checks() == {name}
