"""The program in odd surroundings: streams that are closed, locales, variables, directories, signals."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from program import command, vm_preflight

JSON = command("run", "-o", "json", "--only", "Memory")


def shell(script: str, words: list[str], **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Runs the program from a shell that sets its surroundings up; ``"$@"`` is the program."""
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", *words],
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, **variables},
    )


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str) -> None:
    ended = shell(f'"$@" {closed}', JSON)
    assert ended.stderr == b""
    assert ended.returncode == 0
    if " >&-" not in f" {closed}":
        assert json.loads(ended.stdout)["passed"] is True


@pytest.mark.parametrize("closed", ["", "<&- 2>&-"])
def test_closed_streams_do_not_reach_a_device(closed: str) -> None:
    """Descriptors 0 to 2 would be the next that are opened: what prints would write into a device."""
    ended = shell(f'"$@" {closed}', command("run", "-o", "json", "--only", "KVM,Tun,Memory"))
    report = json.loads(ended.stdout)
    assert ended.stderr == b""
    assert [result["checkName"] for result in report["results"]] == ["KVM", "Memory", "Tun"]
    assert all(result["reason"] not in ("Crashed", "OutputTooLarge") for result in report["results"])


@pytest.mark.parametrize(
    ("locale", "utf8"),
    [("C", "0"), ("C", "1"), ("tr_TR.ISO-8859-9", "0"), ("no_such.locale", "0"), ("", "0")],
)
def test_locales(locale: str, utf8: str) -> None:
    ended = shell('"$@"', JSON, LC_ALL=locale, LANG=locale, PYTHONUTF8=utf8)
    assert ended.stderr == b""
    assert json.loads(ended.stdout.decode("utf-8"))["passed"] is True


def test_no_variables_at_all() -> None:
    done = subprocess.run(JSON, env={}, capture_output=True, check=False, timeout=60)
    assert done.stderr == b""
    assert json.loads(done.stdout)["passed"] is True


def test_a_path_without_programs() -> None:
    """A child of a check finds its programs by their paths, or says that it cannot."""
    done = subprocess.run(
        command("run", "-o", "json"), env={"PATH": ""}, capture_output=True, check=False, timeout=60
    )
    assert done.stderr == b""
    assert all(result["reason"] != "Crashed" for result in json.loads(done.stdout)["results"])


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONOPTIMIZE": "2"},
        {"PYTHONUNBUFFERED": "1"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONWARNINGS": "error"},
        {"PYTHONDEVMODE": "1"},
        {"PYTHONMALLOC": "debug"},
        {"HOME": "/nonexistent"},
        {"TMPDIR": "/nonexistent"},
        {"COLUMNS": "1"},
        {"TZ": "Nowhere/Nothing"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_variables(variables: dict[str, str]) -> None:
    ended = shell('"$@"', JSON, **variables)
    assert ended.stderr == b""
    assert json.loads(ended.stdout)["passed"] is True


def installed() -> str:
    found = shutil.which("vm-preflight", path=os.path.dirname(sys.executable))
    if found is None:
        pytest.skip("vm-preflight is not installed beside this Python")
    return found


def test_a_working_directory_that_is_gone() -> None:
    with tempfile.TemporaryDirectory() as directory:
        ended = shell(f'cd {directory} && rmdir {directory} && "$@"', [installed(), *JSON[3:]])
        Path(directory).mkdir()
    assert ended.stderr == b""
    assert json.loads(ended.stdout)["passed"] is True


def test_a_working_directory_with_modules_of_our_names(tmp_path: Path) -> None:
    """The installed program takes its own modules, not what lies where it is started."""
    for name in ("json", "preflight", "checks", "linux", "psutil", "stat"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the working directory')\n")
    done = subprocess.run(
        [installed(), *JSON[3:]], cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert done.stderr == b""
    assert json.loads(done.stdout)["passed"] is True


def test_ignored_signals() -> None:
    """As under nohup, or below a parent that ignores SIGCHLD or SIGPIPE."""
    ended = shell(
        "trap '' HUP INT TERM PIPE CHLD ALRM; exec \"$@\"",
        command("run", "-o", "json", "--only", "KVM,Memory"),
    )
    assert ended.stderr == b""
    results = json.loads(ended.stdout)["results"]
    assert [result["checkName"] for result in results] == ["KVM", "Memory"]
    assert all(result["reason"] not in ("Crashed", "Killed", "TimedOut") for result in results)


def test_keys_of_a_kubeconfig_do_not_stay_behind(tmp_path: Path) -> None:
    """The kubernetes package writes what a kubeconfig holds inline into files of the temporary directory."""
    inline = {f"client-{part}-data": base64.b64encode(b"secret").decode() for part in ("certificate", "key")}
    kubeconfig = tmp_path / "kubeconfig"
    parts = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": inline}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **parts}))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    ended = vm_preflight("enable", "vmruntime", "--kubeconfig", str(kubeconfig), TMPDIR=str(temporary))
    assert (ended.returncode, "not usable as client certificate" in ended.stderr) == (2, True)
    assert os.listdir(temporary) == []
