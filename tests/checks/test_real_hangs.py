"""A device that hangs costs its own check's verdict: the program ends in time, and nothing is left behind."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import hangingfs
import pytest
import situations
import waiting
from offspring import ended
from program import command
from realkvm import needs_kvm, needs_root

pytestmark = needs_root

FILES = (
    *(
        "proc/misc",
        "proc/cpuinfo",
        "proc/meminfo",
        "proc/cmdline",
        "proc/modules",
        "proc/sysinfo",
        "proc/cgroups",
    ),
    *("proc/sys/kernel/osrelease", "proc/sys/kernel/arch", "proc/sys/kernel/hostname", "proc/self/mountinfo"),
    *(
        "sys/class/misc/kvm/dev",
        "sys/class/dmi/id/sys_vendor",
        "sys/hypervisor/type",
        "dev/kmsg",
        "etc/group",
    ),
)

CONFIG = "[checks.KVM]\ntimeout = 0.3\n[checks.Tun]\ntimeout = 0.3\n"


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "config.toml").write_text(CONFIG)
    return str(tmp_path / "config.toml")


def children_of(session: int) -> list[int]:
    """Returns the processes of which ``session`` is the parent or the session's leader (proc_pid_stat(5))."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if session in (int(fields[1]), int(fields[3])) and fields[0] != "Z":
                    found.append(int(entry.name))
    return found


@pytest.mark.parametrize("takes", [False, True], ids=["can be killed", "cannot be killed"])
def test_a_file_system_that_does_not_answer(root: Path, config: str, takes: bool) -> None:
    with hangingfs.mounted(root / "dev", takes=takes):
        started = time.monotonic()
        ended = subprocess.run(
            command(
                "run", "-o", "json", "--only", "KVM,Tun,Memory", "--host-root", str(root), "--config", config
            ),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        took = time.monotonic() - started
    assert ended.stderr == ""
    assert ended.returncode == 1
    results = {result["checkName"]: result for result in json.loads(ended.stdout)["results"]}
    for name in ("KVM", "Tun"):
        assert (results[name]["reason"], results[name]["status"]) == ("TimedOut", "Unknown")
        assert results[name]["message"].startswith("no answer within 0.3 s")
        assert "request" in results[name].get("evidence", {}).get("wchan", "request")  # request_wait_answer
        assert results[name]["hint"]
    assert results["Memory"]["status"] == "Pass"
    assert took < 30.0  # 3 s on an idle machine: two time-outs, a second of patience with each


@needs_kvm
def test_the_whole_runs_time_is_kept(root: Path) -> None:
    with hangingfs.mounted(root / "dev", takes=False):
        started = time.monotonic()
        ended = subprocess.run(
            command("run", "-o", "json", "--host-root", str(root), "--timeout", "0.5"),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert time.monotonic() - started < 30.0
    results = json.loads(ended.stdout)["results"]
    assert ended.returncode == 1
    assert results[0]["reason"] == "TimedOut"
    assert "the run's 0.5 s were over" in results[0]["message"]
    assert "--timeout" in results[0]["hint"]


def test_files_that_are_fifos_are_not_waited_for(root: Path) -> None:
    """A FIFO without a writer would block who opens it, and one with a writer who reads it."""
    for path in FILES:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        os.mkfifo(file)
    writer = os.open(root / "proc/misc", os.O_RDWR)
    started = time.monotonic()
    answer = situations.run(lambda: None, "--host-root", str(root))
    os.close(writer)
    assert time.monotonic() - started < 30.0
    assert answer.status == 1
    for name in answer.results:
        assert answer.told(name)[0] not in ("TimedOut", "Crashed")
    assert answer.told("KVM")[1] in ("Fail", "Unknown")


@pytest.fixture
def hanging_run(root: Path) -> Iterator[subprocess.Popen[str]]:
    """The program, whose check hangs."""
    with hangingfs.mounted(root / "dev", takes=False):
        program = subprocess.Popen(
            command("run", "-o", "json", "--host-root", str(root)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            waiting.until(lambda: len(children_of(program.pid)) > 1, "the check's process")
            yield program
        finally:
            program.kill()
            program.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_program_and_its_check(
    hanging_run: subprocess.Popen[str], number: signal.Signals
) -> None:
    """As Ctrl-C in a terminal, or a service manager's stop; the check is in a process group of its own."""
    others = [one for one in children_of(hanging_run.pid) if one != hanging_run.pid]
    assert others
    hanging_run.send_signal(number)
    out, err = hanging_run.communicate(timeout=60)
    assert hanging_run.returncode in (130, -number, 128 + number)
    assert out == ""
    assert "Traceback" not in err
    try:
        waiting.until(lambda: all(map(ended, others)), "the end of what it has started")
    except AssertionError:
        for one in others:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        raise
