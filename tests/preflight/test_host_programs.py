"""What a host tells of our own process, and the programs that it runs in bounded time and memory."""

import os
import resource
import shutil
import time
from pathlib import Path

import psutil
import pytest
import waiting
from fakechecks import GOOD, fake

from preflight.check import Run
from preflight.config import Config
from preflight.host import Host
from preflight.result import Finding
from preflight.runner import Runner
from preflight.streams import MAX_OUTPUT

ECHO = ("sh", "-c", "cat; echo err >&2; exit 3")


def shell(*lines: str) -> tuple[str, ...]:
    return ("sh", "-c", "\n".join(lines))


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_program_is_run_without_input_and_both_streams_are_read() -> None:
    assert Host().run_program(ECHO, timeout=30) == (3, b"err\n")


def test_a_program_is_spoken_to_on_a_socket() -> None:
    script = shell("read line", 'echo "$line too" >&0', "echo out", "echo err >&2")
    status, answers, output = Host().converse(script, b"in\n", timeout=30)
    assert (status, answers) == (0, b"in too\n")
    assert sorted(output.split()) == [b"err", b"out"]


def test_a_program_that_does_not_listen_is_no_error() -> None:
    assert Host().converse(shell("exec <&-", "echo out", "exit 4"), b"in\n", timeout=30) == (4, b"", b"out\n")


def test_a_program_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    script = shell(f"sleep 1000 & echo $! >> {pid_file}", f"echo $$ >> {pid_file}", "exec sleep 1000")
    with pytest.raises(TimeoutError, match=r"1\.5 s"):
        Host().run_program(script, timeout=1.5)
    pids = [int(word) for word in pid_file.read_text().split()]
    assert len(pids) == 2
    waiting.until(lambda: not any(is_running(pid) for pid in pids), "the end of both processes")


def test_what_a_program_leaves_behind_does_not_hold_us_up(tmp_path: Path) -> None:
    started = time.monotonic()
    status, output = Host().run_program(shell("sleep 100 & echo $!", "exit 5"), timeout=90)
    psutil.Process(int(output)).kill()
    assert status == 5
    assert time.monotonic() - started < 60


def test_a_program_that_prints_without_end_costs_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TimeoutError):
        Host().run_program(("yes", "x" * 4096), timeout=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_of_what_is_too_much_the_beginning_is_kept() -> None:
    script = shell("echo first", "head -c 10000000 /dev/zero", "head -c 10000000 /dev/zero >&0", "exit 6")
    status, answers, output = Host().converse(script, b"in\n", timeout=30)
    assert (status, len(answers), len(output)) == (6, MAX_OUTPUT, MAX_OUTPUT)
    assert output.startswith(b"first\n")


def test_no_descriptor_is_left_or_inherited() -> None:
    before = os.listdir("/proc/self/fd")
    for timeout in (30, 0.1):
        try:
            _, output = Host().run_program(shell("ls /proc/self/fd; sleep 0.3"), timeout=timeout)
            assert {b"0", b"1", b"2"} <= set(output.split()) <= {b"0", b"1", b"2", b"3"}
        except TimeoutError:
            assert timeout < 1
    with pytest.raises(FileNotFoundError):
        Host().run_program(("/nowhere/program",), timeout=1)
    assert os.listdir("/proc/self/fd") == before


def test_a_program_ends_with_the_check_that_runs_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    script = shell(f"sleep 1000 & echo $! >> {pid_file}", f"echo $$ >> {pid_file}", "sleep 1000")

    def ask(host: Host, run: Run) -> Finding:
        host.run_program(script, timeout=1000)
        return GOOD("not reached")

    suite = Runner((fake("A", ask, timeout=1.5),), Host(), Config(), node="n", agent_version="0")
    assert suite.run().results[0].reason == "TimedOut"
    pids = [int(word) for word in pid_file.read_text().split()]
    assert len(pids) == 2
    waiting.until(lambda: not any(is_running(pid) for pid in pids), "the end of both processes")


def test_a_signal_is_told() -> None:
    assert Host().run_program(shell("kill -9 $$"), timeout=30)[0] == -9


def test_our_own_machine_is_told_from_a_captured_one(tmp_path: Path) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    copy = tmp_path / boot_id.relative_to("/")
    assert Host().is_own_machine()
    assert not Host(str(tmp_path)).is_own_machine()
    copy.parent.mkdir(parents=True)
    copy.write_text("00000000-0000-0000-0000-000000000000\n")
    assert not Host(str(tmp_path)).is_own_machine()
    shutil.copyfile(boot_id, copy)
    assert Host(str(tmp_path)).is_own_machine()


def test_a_local_path_stays_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "proc").symlink_to("/elsewhere")
    assert Host(str(tmp_path)).local_path("/proc") == f"{tmp_path}/elsewhere"
    assert Host().local_path("/proc") == "/proc"


def test_our_own_process() -> None:
    host = Host()
    assert host.own_architecture == os.uname().machine
    assert os.getegid() in host.effective_groups
