"""The cluster that the other tests stand on: that a node is one, and that this machine is left as it was."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cgroups
import pytest
import realcluster
import toolchain
from endtoend import EndToEnd
from realcluster import RealCluster
from story import Story
from waiting import until

SECONDS = 120.0
MADE = ("/opt/containerd", "/run/containerd", "/var/lib/kubelet", "/usr/libexec/kubernetes")
SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


def machine() -> dict[str, object]:
    """What this machine itself has of that which a cluster makes: others may make more of it meanwhile."""
    links, routes = (
        subprocess.run(["ip", "-json", what], capture_output=True, text=True, check=True).stdout
        for what in ("link", "route")
    )
    return {
        "links": {link["ifname"] for link in json.loads(links)} & {"br0", "cni0", "n1", "n2", "n3"},
        "routes": {route["dst"] for route in json.loads(routes) if route["dst"].startswith("10.2")},
        "sysctls": {name: Path("/proc/sys", name).read_text() for name in SYSCTLS},
        "mounts": [
            line for line in Path("/proc/mounts").read_text().splitlines() if realcluster.PREFIX in line
        ],
        "made by containerd and kubelet": [path for path in MADE if Path(path).exists()],
    }


def test_a_run_that_crashes(own: RealCluster, story: Story, tmp_path: Path) -> None:
    """A second cluster beside the first is killed: nothing of it runs on, and the next one tidies up."""
    before = machine()
    log = tmp_path / "log"
    with log.open("w") as file:
        program = [sys.executable, realcluster.__file__, "--nodes", "1"]
        second = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        assert second.stdout is not None
        with story.measure("nothing → 1 node Ready, beside the first cluster"):
            lines = [second.stdout.readline() for _ in range(2)]
        assert "nodes are Ready" in lines[0], log.read_text()
        directory = Path(lines[1].partition("=")[2].strip()).parent
        assert directory.name in cgroups.names(realcluster.PREFIX)
    finally:
        second.send_signal(signal.SIGKILL)
        second.communicate()
    with story.step("killed: its kubelet, containerd, API server and etcd end"):
        until(lambda: not processes(directory), "all its processes end", seconds=SECONDS)
    assert machine() == before

    with story.step("what is left of it is tidied up, and the first cluster is not"):
        realcluster.tidy()
    assert not directory.exists()
    assert cgroups.names(realcluster.PREFIX) >= {own.directory.name}
    assert directory.name not in cgroups.names(realcluster.PREFIX)
    assert own.kubectl("get", "--raw", "/readyz") == "ok"


def processes(directory: Path) -> list[int]:
    """Pids of processes that were started with something of a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(directory) in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
    return found


def test_a_device_of_one_node(own: RealCluster) -> None:
    """A node's devices are its own: /dev/kvm taken away on one is there on the others, and here."""
    first, second = own.node("n1"), own.node("n2")
    first.hide_kvm()
    try:
        assert first.run(["sh", "-c", "test -e /dev/kvm || echo gone"]) == "gone\n"
        assert second.run(["stat", "--format=%t:%T", "/dev/kvm"]) == "a:e8\n"
        assert Path("/dev/kvm").exists()
    finally:
        first.show_kvm()
    assert first.run(["stat", "--format=%t:%T", "/dev/kvm"]) == "a:e8\n"


def test_a_node_joins_and_leaves(enabled: EndToEnd, own: RealCluster, story: Story) -> None:
    """A node joins: it gets its agent and a verdict of its own without a check of all; it leaves again."""
    known = enabled.names_of_checks()
    with story.measure("nothing → a further node Ready"):
        joined = own.add_node().name
    try:
        with story.measure("further node Ready → its verdict"):
            until(
                lambda: enabled.node_preflight(joined).get("status", {}).get("passed"),
                f"{joined} passes",
                seconds=SECONDS,
            )
        assert enabled.names_of_checks() == known
    finally:
        own.remove_node(joined)
    with story.step(f"{joined} deleted: its NodePreflight goes"):
        until(lambda: not enabled.node_preflight(joined), f"{joined} is forgotten", seconds=SECONDS)
    assert enabled.names_of_checks() == known


@pytest.mark.timeout(900)
def test_a_kubelet_is_upgraded(enabled: EndToEnd, own: RealCluster, story: Story) -> None:
    """A kubelet goes over to a newer version: after a minute of quiet the nodes are checked anew."""
    newer = toolchain.built("kubelet", told="v1.37.9")
    known = enabled.names_of_checks()
    old = version(enabled, "n1")
    with story.measure("kubelet ended → the newer one's node Ready"):
        own.node("n1").use_kubelet(newer)
    story.say(f"n1: {old} → {version(enabled, 'n1')}")
    assert version(enabled, "n1") == "v1.37.9"
    with story.measure("upgraded → verdict, a minute of quiet in it"):
        check = until(enabled.finished_since(known), "a check ends", seconds=SECONDS)
    assert check["metadata"]["annotations"]["kubevm.io/trigger"] == "ClusterUpgraded"
    assert check["status"]["pass"] is True, check["status"].get("failures")


def version(cluster: EndToEnd, node: str) -> str:
    """The version that a node's kubelet says it is."""
    return str(cluster.kubectl.get("node", node)["status"]["nodeInfo"]["kubeletVersion"])
