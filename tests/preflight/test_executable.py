"""Executable checks, each a real program, asked by a real runner: what they get, may do, and cost."""

import os
import resource
import signal
import struct
import sys
import time
from pathlib import Path

import psutil
import pytest
import waiting
from fakechecks import fake

from preflight.check import BLOCKING, Check
from preflight.config import Config
from preflight.executable import OUTCOMES, executable
from preflight.host import Host
from preflight.result import Result, Status
from preflight.runner import Runner


@pytest.fixture
def plugin(tmp_path: Path):
    """Makes an executable check of a script's text."""

    def make(
        text: str | bytes, *, timeout: float = 30.0, hint: str | None = None, name: str = "disk"
    ) -> Check:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o755)
        return executable(
            str(path), name="Disk", weight=BLOCKING, timeout=timeout, question="Is it well?", hint=hint
        )

    return make


def results(*checks: Check, root: str = "/", **options) -> list[Result]:
    suite = Runner(checks, Host(root), Config(), node="n", agent_version="1")
    return list(suite.run(**options).results)


def gone(pid: str) -> bool:
    """Whether a process has ended, collected or not."""
    try:
        return psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ask(check: Check, root: str = "/") -> Result:
    return results(check, root=root)[0]


@pytest.mark.parametrize(
    ("status", "told", "reason"),
    [
        (0, Status.PASS, "Passed"),
        (1, Status.FAIL, "Failed"),
        (2, Status.WARN, "Warned"),
        (3, Status.SKIP, "Skipped"),
        (4, Status.UNKNOWN, "UndefinedStatus"),
        (77, Status.UNKNOWN, "UndefinedStatus"),
        (255, Status.UNKNOWN, "UndefinedStatus"),
    ],
)
@pytest.mark.parametrize("worded", [False, True])
def test_the_exit_status_is_the_answer(plugin, status: int, told: Status, reason: str, worded: bool) -> None:
    said = (
        '{"reason": "DiskWorn", "message": "98 % used", "hint": "smartctl -a /dev/sda"}'
        if worded
        else "98 % used"
    )
    result = ask(plugin(f"#!/bin/sh\necho '{said}'\nexit {status}\n"))
    assert (result.status, result.passed) == (told, status in (0, 2, 3))
    assert result.reason == ("DiskWorn" if worded else reason)
    assert result.message.endswith("98 % used")
    if worded:
        assert result.hint == "smartctl -a /dev/sda"


def test_a_failure_has_a_hint_that_can_be_pasted(plugin, tmp_path: Path) -> None:
    check = plugin("#!/bin/sh\nexit 1\n", name="disk health")
    assert ask(check, str(tmp_path)).hint == f"'{tmp_path}/disk health' {tmp_path}; echo $?"
    assert ask(plugin("#!/bin/sh\nexit 9\n", hint="call the vendor")).hint == "call the vendor"
    assert ask(plugin("#!/bin/sh\nexit 0\n", hint="call the vendor")).hint is None


def test_nothing_said_is_told_with_what_standard_error_has(plugin) -> None:
    result = ask(plugin("#!/bin/sh\nnosuchcommand\n"))
    assert result.reason == "UndefinedStatus"
    assert result.message.startswith("exit status 127 (0 is Pass, 1 Fail, 2 Warn, 3 Skip): standard error: ")
    assert result.message.endswith("not found")
    assert ask(plugin("#!/bin/sh\nexit 1\n")).message == "exit status 1, nothing on standard output"


def test_what_could_not_be_used_is_told(plugin) -> None:
    result = ask(plugin("""#!/bin/sh\necho '{"reason": "disk worn", "message": "m"}'\nexit 1\n"""))
    assert (result.reason, result.message) == ("Failed", "m")
    assert "'disk worn' is no CamelCase word" in result.evidence["standard output"]


def test_it_gets_the_hosts_root_and_nothing_else(plugin, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    check = plugin(
        f"#!{sys.executable}\n"
        "import os, signal, sys\n"
        "ignored = [int(n) for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN]\n"
        "descriptors = sorted(os.listdir('/proc/self/fd'))\n"
        "umask = os.umask(0)\n"
        "print(len(sys.argv), sys.argv[1], os.getcwd(), oct(umask), sorted(os.environ), sys.stdin.read(),\n"
        "      len(descriptors), ignored, signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
    )
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        message = ask(check, "root").message
    finally:
        signal.signal(signal.SIGHUP, previous)
    # Python itself ignores SIGPIPE and SIGXFSZ, and adds LC_CTYPE (PEP 538); the fourth is listdir's own.
    ignored = [int(signal.SIGPIPE), int(signal.SIGXFSZ)]
    assert message == (f"2 {tmp_path}/root / 0o22 ['LC_CTYPE', 'PATH'] 4 {ignored} set()")


def test_signals_are_at_their_defaults(plugin) -> None:
    """A shell cannot take back what was ignored when it started, so it shows what it was given."""
    ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGTTOU)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        message = ask(plugin("#!/bin/sh\ngrep SigIgn /proc/self/status\n")).message
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    bits = int(message.removeprefix("SigIgn: "), 16)
    # Those that the C library keeps for itself (signal(7)) nobody can set, nor then take back.
    assert [number for number in signal.valid_signals() if bits >> (number - 1) & 1] == []


ELF_MACHINE = int.from_bytes(Path(sys.executable).read_bytes()[18:20], sys.byteorder)


def _elf(machine: int, loader: bytes = b"") -> bytes:
    """A 64-bit ELF file (elf(5)) of nothing but the name of a loader, in this machine's byte order."""
    order = "<" if sys.byteorder == "little" else ">"
    identity = b"\x7fELF\x02" + bytes([1 if order == "<" else 2, 1]) + bytes(9)
    header = struct.pack(f"{order}HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    interpreter = struct.pack(f"{order}IIQQQQQQ", 3, 4, 120, 120, 120, len(loader) + 1, len(loader) + 1, 1)
    return identity + header + interpreter + loader + b"\0"


@pytest.mark.parametrize(
    ("contents", "why", "error"),
    [
        (b"", "it is neither a program nor a script, which begins with #! and an interpreter", "ENOEXEC"),
        (b"echo no first line\n", "it is neither a program nor a script", "ENOEXEC"),
        (b"#!/no/such/interpreter -x\n", "its interpreter /no/such/interpreter is not there", "ENOENT"),
        (b"#!/bin/sh\r\necho\r\n", "its first line ends with a carriage return, as on DOS", "ENOENT"),
        (_elf(machine=0xFFFF), "it is a program for another kind of machine", "ENOEXEC"),
        (
            _elf(machine=ELF_MACHINE, loader=b"/lib/ld-musl-nowhere.so.1"),
            "the loader that it was linked for is not there: it was built for another C library",
            "ENOENT",
        ),
        (
            b"#!/\n",
            "it is not executable for this user, or on a file system that is mounted noexec",
            "EACCES",
        ),
    ],
)
def test_what_cannot_be_started_says_why(plugin, contents: bytes, why: str, error: str) -> None:
    check = plugin(contents)
    result = ask(check)
    (path,) = check.reads
    assert (result.status, result.reason) == (Status.UNKNOWN, "NotStarted")
    assert result.message.startswith(f"starting {path}: {why}")
    assert result.evidence == {path: error}
    assert result.hint == f"ls -lL {path}; head -1 {path}; findmnt -T {path}"


def test_one_that_is_gone_says_so(plugin) -> None:
    check = plugin("#!/bin/sh\n")
    Path(check.reads[0]).unlink()
    assert ask(check).reason == "NotStarted"


@pytest.mark.parametrize(
    ("number", "name", "reason"),
    [
        (signal.SIGSEGV, "SIGSEGV", "Crashed"),
        (signal.SIGABRT, "SIGABRT", "Crashed"),
        (signal.SIGKILL, "SIGKILL", "Killed"),
        (signal.SIGTERM, "SIGTERM", "Killed"),
        (signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}", "Killed"),
    ],
)
def test_one_that_a_signal_ends(plugin, number: int, name: str, reason: str) -> None:
    result = ask(plugin(f"#!/bin/sh\necho last words >&2\nkill -{int(number)} $$\n"))
    assert (result.status, result.reason) == (Status.UNKNOWN, reason)
    assert f"was ended by {name} (" in result.message
    assert result.evidence == {"standard error": "last words"}
    assert result.hint


def test_one_that_hangs_is_ended_with_all_that_it_started(plugin, tmp_path: Path) -> None:
    text = f"#!/bin/sh\nsleep 3600 &\necho $! $$ > {tmp_path}/pids\necho asking the disk\nsleep 3600\n"
    hanging, after = results(plugin(text, timeout=2), fake("Tun"))
    assert (hanging.status, hanging.reason, after.reason) == (Status.UNKNOWN, "TimedOut", "Good")
    assert hanging.message.startswith("no answer within 2 s")
    assert hanging.evidence["output"] == "asking the disk"
    for pid in (tmp_path / "pids").read_text().split():
        waiting.until(lambda pid=pid: gone(pid), f"the end of {pid}")


def test_the_smaller_time_counts(plugin) -> None:
    started = time.monotonic()
    (result,) = results(plugin("#!/bin/sh\nsleep 3600\n", timeout=60), timeout=1.5)
    assert result.reason == "TimedOut"
    assert result.message == "no answer: the run's 1.5 s were over"
    assert time.monotonic() - started < 50


def test_what_it_leaves_behind_holds_nothing_up_and_ends_with_the_run(plugin, tmp_path: Path) -> None:
    result = ask(plugin(f"#!/bin/sh\nsleep 3600 &\necho $! > {tmp_path}/pid\necho started one\n"))
    assert (result.status, result.message) == (Status.PASS, "started one")
    assert result.duration_seconds < 20
    pid = (tmp_path / "pid").read_text().strip()
    waiting.until(lambda: gone(pid), "the end of what was left")


def test_what_it_leaves_behind_may_write_without_end(plugin) -> None:
    result = ask(plugin("#!/bin/sh\nyes &\nexit 3\n"))
    assert result.status is Status.SKIP
    assert result.message in ("y", "exit status 3, nothing on standard output")


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_output_without_measure_costs_no_memory(plugin, stream: str) -> None:
    """The child may not grow by more than is kept; the rest is drained at the speed of a pipe."""
    text = f"#!/bin/sh\necho first\nyes 0123456789 | head -c 300000000 {stream}\nexit 1\n"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    result = ask(plugin(text, timeout=100))
    grown = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - max(
        before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    assert (result.reason, result.message) == ("Failed", "first")
    assert grown < 64 * 1024  # KiB
    assert all(len(value) <= 1024 for value in result.evidence.values())


def test_one_that_prints_for_ever_is_timed_out(plugin) -> None:
    result = ask(plugin("#!/bin/sh\nexec yes\n", timeout=2))
    assert (result.reason, result.evidence["output"]) == ("TimedOut", " ".join("y" * 512))


def test_it_ends_when_the_runner_is_gone(plugin, tmp_path: Path) -> None:
    new, pids = tmp_path / "new", tmp_path / "pids"
    check = plugin(f"#!/bin/sh\nsleep 3600 &\necho $! $$ $PPID > {new}\nmv {new} {pids}\nwait\n")
    runner = os.fork()
    if runner == 0:
        try:
            ask(check)
        finally:
            os._exit(1)
    try:
        waiting.until(pids.exists, "the program's start")
    finally:
        os.kill(runner, signal.SIGKILL)
        os.waitpid(runner, 0)
    for pid in pids.read_text().split():
        waiting.until(lambda pid=pid: gone(pid), f"the end of {pid}")


def test_two_runs_at_once_by_one_runner_do_not_overlap(plugin, tmp_path: Path) -> None:
    check = plugin(f"#!/bin/sh\nmkdir {tmp_path}/lock || exit 1\nsleep 0.05\nrmdir {tmp_path}/lock\n")
    suite = Runner([check], Host(), Config(), node="n", agent_version="1", ahead=True)
    assert [suite.run().passed for _ in range(3)] == [True] * 3
    suite.prepare()
    suite.close()


def test_every_reason_of_its_own_is_declared(plugin) -> None:
    check = plugin("#!/bin/sh\n", hint="mend it")
    assert [(one.status, one.reason) for one in check.outcomes] == [
        (one.status, one.reason) for one in OUTCOMES
    ]
    assert {one.reason: one.hint for one in check.outcomes}["Failed"] == "mend it"
    assert all("FILE" not in (one.hint or "") for one in check.outcomes)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to be another user")
def test_an_ordinary_user_is_told_what_may_not_be_run(plugin, tmp_path: Path) -> None:
    check = plugin("#!/bin/sh\necho well\n")
    os.chmod(tmp_path / "disk", 0o700)
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(65534, 65534, 65534)
            os._exit(0 if ask(check).reason == "NotStarted" else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
