"""Processes of the tests end with them, whatever ends the tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import offspring
from offspring import ended
from waiting import until

SUPPORT = Path(offspring.__file__).parent


def test_it_has_the_pid_that_we_know(tmp_path: Path) -> None:
    process = offspring.start(["sleep", "60"], log=tmp_path / "log")
    try:
        comm = Path(f"/proc/{process.pid}/comm")
        until(lambda: comm.read_text().strip() == "sleep", "the program in place of its launcher")
    finally:
        assert offspring.end(process) == -signal.SIGTERM


def test_it_ends_when_we_are_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import offspring; from pathlib import Path\n"
        "print(offspring.start(['sleep', '60'], log=Path(sys.argv[2])).pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, SUPPORT, tmp_path / "log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        comm = Path(f"/proc/{pid}/comm")
        until(lambda: comm.read_text().strip() == "sleep", "the program in place of its launcher")
        parent.kill()
    until(lambda: ended(pid), "the end of the process whose parent was killed")


def test_a_program_that_is_not_there_is_told_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"

    assert offspring.start([tmp_path / "none"], log=log).wait() == 127
    assert offspring.tail(log) == f"{tmp_path / 'none'}: No such file or directory"


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    process = offspring.start(["sh", "-c", script], log=log, environment={"PATH": os.environ["PATH"]})
    until(lambda: offspring.tail(log) == "ready", "the trap")

    assert offspring.end(process, seconds=0.2) == -signal.SIGKILL
