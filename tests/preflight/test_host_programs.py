"""What a host tells of our own process, and the programs that it runs in bounded time."""

import os
import shutil
from pathlib import Path

import pytest

from preflight.host import Host


def test_a_program_is_run_with_input_and_both_streams() -> None:
    status, output = Host().run_program(("sh", "-c", "cat; echo err >&2; exit 3"), stdin=b"in\n", timeout=30)
    assert status == 3
    assert sorted(output.split()) == [b"err", b"in"]


def test_a_program_that_does_not_end_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(TimeoutError, match=r"0\.2 s"):
        Host().run_program(("sh", "-c", f"echo $$ > {pid_file}; exec sleep 1000"), timeout=0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_program_that_is_missing() -> None:
    with pytest.raises(FileNotFoundError):
        Host().run_program(("/nowhere/program",), timeout=1)


def test_a_signal_is_told() -> None:
    assert Host().run_program(("sh", "-c", "kill -9 $$"), timeout=30)[0] == -9


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
