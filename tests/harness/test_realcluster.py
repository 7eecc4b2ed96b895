"""What of a real cluster can be told without one; the cluster itself is tried by tests/e2e/test_bed.py."""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import cgroups
import nodeconfiguration
import pytest
import realcluster
from certificates import Authority
from realnode import ready_since
from story import Story

READY = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:10Z"}
BEGAN = 1767225610.9  # 2026-01-01T00:00:10.9Z; the API server keeps whole seconds


@pytest.mark.parametrize(
    ("condition", "ready"),
    [
        (READY, True),
        (READY | {"lastHeartbeatTime": "2026-01-01T00:00:09Z"}, False),
        (READY | {"status": "Unknown"}, False),
        (READY | {"type": "DiskPressure"}, False),
    ],
)
def test_a_node_is_ready_when_the_present_kubelet_says_so(condition: dict[str, str], ready: bool) -> None:
    assert ready_since(condition, BEGAN) is ready


def test_containerd_and_the_kubelet_keep_to_what_is_the_nodes_own(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    plugins = tomllib.loads(nodeconfiguration.containerd(programs, tmp_path / "cni"))["plugins"]
    runtime = plugins["io.containerd.cri.v1.runtime"]
    assert plugins["io.containerd.internal.v1.opt"]["path"].startswith("/var/lib/")
    assert plugins["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] == nodeconfiguration.PAUSE
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == str(programs / "runc")
    assert runtime["cni"] == {"bin_dirs": [str(programs / "cni")], "conf_dir": str(tmp_path / "cni")}

    kubelet = nodeconfiguration.kubelet(
        cgroup="/run/n1", address="10.231.0.11", authority=tmp_path, serving=(tmp_path, tmp_path)
    )
    assert kubelet["cgroupRoot"] == "/run/n1"
    assert kubelet["volumePluginDir"].startswith("/var/lib/")
    assert json.loads(json.dumps(kubelet)) == kubelet


def test_nodes_do_not_share_addresses() -> None:
    numbers = range(1, 100)
    assert len({nodeconfiguration.address(number) for number in numbers}) == 99
    networks = [nodeconfiguration.network(number)["plugins"][0]["ipam"]["ranges"] for number in numbers]
    assert len({json.dumps(network) for network in networks}) == 99
    assert nodeconfiguration.API_ADDRESS not in {nodeconfiguration.address(number) for number in numbers}


def hierarchy(root: Path, **files: str) -> Path:
    root.mkdir(parents=True)
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    return root


def test_version_2_has_one_hierarchy_whose_controllers_are_given_on(tmp_path: Path) -> None:
    root = hierarchy(
        tmp_path / "two",
        cgroup__controllers="cpuset cpu memory pids",
        cgroup__procs="",
        cgroup__subtree_control="memory pids",
    )
    assert cgroups.hierarchies(root) == [root]

    cgroups.make("run/n1", root=root)

    assert (root / "cgroup.subtree_control").read_text() == "+cpuset +cpu"
    assert (root / "run" / "n1").is_dir()
    assert cgroups.names("ru", root=root) == {"run"}
    cgroups.remove("run", root=root)
    assert cgroups.names("ru", root=root) == set()


def test_version_1_has_many_hierarchies_some_with_two_names(tmp_path: Path) -> None:
    both = hierarchy(tmp_path / "one" / "cpu,cpuacct", cgroup__procs="", tasks="")
    cpuset = hierarchy(tmp_path / "one" / "cpuset", cgroup__procs="", tasks="", cpuset__cpus="0-1")
    (tmp_path / "one" / "cpu").symlink_to(both)
    (tmp_path / "one" / "not-one").mkdir()
    assert cgroups.hierarchies(tmp_path / "one") == [both, cpuset]


def test_certificates_are_signed_by_their_authority(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH")
    authority = Authority(tmp_path / "pki")
    certificate, key = authority.sign("n1", "/O=system:nodes/CN=system:node:n1", serves="IP:10.0.0.1,DNS:n1")

    def openssl(*arguments: str | Path) -> str:
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout

    verified = openssl("verify", "-purpose", "sslserver", "-CAfile", authority.certificate, certificate)
    assert verified.endswith("OK\n")
    assert openssl("x509", "-in", certificate, "-noout", "-pubkey") == openssl("pkey", "-in", key, "-pubout")
    shown = openssl("x509", "-in", certificate, "-noout", "-subject", "-ext", "subjectAltName")
    assert "system:node:n1" in shown
    assert "IP Address:10.0.0.1" in shown


def test_what_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = realcluster.why_not()
    assert said == "it needs programs that are not here: apt-get install iproute2 openssl util-linux"


def test_a_story_tells_what_was_done_and_what_was_not() -> None:
    told: list[str] = []
    story = Story(told.append)
    story.title("A part.")
    with story.measure("one thing"):
        story.say("said\non two lines\n")
    with pytest.raises(ZeroDivisionError), story.measure("another"):
        _ = 1 // 0

    assert [line.partition(" s  ")[2] or line.strip() for line in told] == [
        "A part.",
        "said",
        "on two lines",
        "one thing",
        "FAILED: another",
    ]
    assert [what for what, _ in story.measured] == ["one thing"]
