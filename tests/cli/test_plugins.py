"""Executable checks as their author meets them: on the command line, and in the daemon of a host alone."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest
from program import command, vm_preflight
from realkvm import needs_root
from waiting import until

SCRIPT = '#!/bin/sh\ntest -e "$1/etc/good" && echo "found in $1" || { echo nothing; exit 1; }\n'


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "good").write_text(SCRIPT)
    (folder / "good").chmod(0o755)
    (folder / "good.toml").write_text('weight = "blocking"\nhint = "touch /etc/good"\n')
    (folder / "broken").write_text(SCRIPT)
    (folder / "broken").chmod(0o777)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    return tmp_path / "root"


def test_it_decides_and_another_that_is_broken_is_told(plugins: Path, root: Path) -> None:
    words = ("run", "--plugin-dir", str(plugins), "--host-root", str(root), "-o", "json")
    ended = vm_preflight(*words, "--only", "Good")
    (result,) = json.loads(ended.stdout)["results"]
    assert ended.returncode == 1
    assert (result["status"], result["reason"], result["message"]) == ("Fail", "Failed", "nothing")
    assert result["hint"] == "touch /etc/good"
    (root / "etc/good").touch()
    ended = vm_preflight(*words, "--only", "Good,Broken")
    by_name = {one["checkName"]: one for one in json.loads(ended.stdout)["results"]}
    assert ended.returncode == 1
    assert (by_name["Good"]["status"], by_name["Good"]["message"]) == ("Pass", f"found in {root}")
    assert by_name["Broken"]["reason"] == "BadConfiguration"
    assert by_name["Broken"]["hint"] == f"chmod go-w {plugins}/broken"
    assert vm_preflight(*words, "--only", "Good,Broken", "--ignore", "Broken").returncode == 0


def test_one_that_is_broken_is_explained(plugins: Path) -> None:
    explained = vm_preflight("checks", "explain", "Broken", "--plugin-dir", str(plugins)).stdout
    assert f"{plugins}/broken can be written by others than its owner" in " ".join(explained.split())


def test_the_options_of_a_run_apply(plugins: Path, root: Path, tmp_path: Path) -> None:
    config = tmp_path / "preflight.toml"
    config.write_text('[run]\nonly = ["Good"]\n[checks.Good]\nweight = "advisory"\ntimeout = 20\n')
    ended = vm_preflight(
        "run",
        VM_PREFLIGHT_PLUGIN_DIR=str(plugins),
        VM_PREFLIGHT_CONFIG=str(config),
        VM_PREFLIGHT_HOST_ROOT=str(root),
    )
    assert ended.returncode == 0
    assert ended.stdout.startswith("Good Warn Failed nothing\nGood hint: touch /etc/good\n")


def test_a_relative_root_and_directory(plugins: Path, root: Path) -> None:
    """The program runs in ``/``, so both must reach it as they were meant."""
    (root / "etc/good").touch()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        command("run", "--plugin-dir", "plugins", "--host-root", "root", "--only", "Good"),
        cwd=root.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"Good Pass Passed found in {root}\n")


def test_a_host_without_a_cluster_gives_them_to_its_probe_by_the_environment(
    plugins: Path, root: Path, tmp_path: Path
) -> None:
    config = tmp_path / "preflight.toml"
    config.write_text('[run]\nonly = ["Good"]\n')
    (root / "etc/good").touch()
    log = tmp_path / "log"
    environment = {
        **os.environ,
        "VM_PREFLIGHT_PLUGIN_DIR": str(plugins),
        "VM_PREFLIGHT_CONFIG": str(config),
        "VM_PREFLIGHT_HOST_ROOT": str(root),
    }
    with log.open("w") as file:
        agent = subprocess.Popen(
            command("agent", "--standalone", "--listen", "127.0.0.1:0", "--log-format", "json"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    try:

        def address() -> str | None:
            assert agent.poll() is None, log.read_text()
            logged = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
            return next((one["address"] for one in logged if "address" in one), None)

        where = until(address, "the agent to serve")

        def results() -> list[dict[str, str]] | None:
            try:
                with urllib.request.urlopen(f"http://{where}/report", timeout=60) as answer:
                    return json.loads(answer.read())["results"]  # type: ignore[no-any-return]
            except OSError:
                return None

        (result,) = until(results, "a report")
        assert (result["checkName"], result["message"]) == ("Good", f"found in {root}")
    finally:
        agent.terminate()
        assert agent.wait(timeout=60) == 0


@needs_root
@pytest.mark.parametrize(("read_only", "reason"), [(True, "Passed"), (False, "BadConfiguration")])
def test_a_configmap_as_it_is_mounted_in_a_pod(tmp_path: Path, read_only: bool, reason: str) -> None:
    """As the kubelet writes it for ``fsGroup: 65532``: links, a group, mode 3777, and read-only."""
    volume, mount = tmp_path / "volume", tmp_path / "mount"
    data = volume / "..2026_11_26_06_51_55.1"
    data.mkdir(parents=True)
    mount.mkdir()
    (data / "good").write_text("#!/bin/sh\necho well\n")
    (data / "good").chmod(0o755)
    (volume / "..data").symlink_to(data.name)
    (volume / "good").symlink_to("..data/good")
    for path in (volume, data, data / "good"):
        os.chown(path, 0, 65532)
    volume.chmod(0o3777)
    make = f"mount --bind {volume} {mount}"
    if read_only:
        make += f" && mount -o remount,bind,ro {mount}"
    words = command(
        "run", "-o", "json", "--plugin-dir", str(mount), "--only", "Good" if read_only else "PluginDirectory"
    )
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{make} && exec "$@"', "sh", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stderr == ""
    (result,) = json.loads(ended.stdout)["results"]
    assert result["reason"] == reason
