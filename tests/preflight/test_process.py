"""The child as a process: what it inherits, what it does not, and how its parent hears of its end."""

import errno
import fcntl
import gc
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import waiting
from fakechecks import GOOD, fake

from preflight import process
from preflight.config import Config
from preflight.host import Host
from preflight.process import Child, fork, kill_group, pipe, sweep, wait_readable
from preflight.result import Status, unknown
from preflight.runner import Runner

ROOT = Path(__file__).parents[2]


def seen_by_a_check(look) -> str:
    """Returns what a check sees of its own process."""
    suite = Runner(
        [fake("A", lambda host, run: GOOD(str(look())))], Host(), Config(), node="n", agent_version="1"
    )
    result = suite.run().results[0]
    assert result.reason == "Good", result.message
    return result.message


def elsewhere(program: str, *, status: int = 0) -> str:
    """Runs a program in a Python of its own and returns what it printed."""
    head = f"""
        import ctypes, gc, os, signal, subprocess, sys, time
        sys.path += [{str(ROOT)!r}, {str(ROOT / "tests/support")!r}]
        from fakechecks import GOOD, fake
        from preflight.config import Config
        from preflight.host import Host
        from preflight.runner import Runner
        def runner(*checks):
            return Runner(checks, Host(), Config(), node="n", agent_version="1")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status
    return done.stdout


def test_inherited_descriptors_are_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        links = seen_by_a_check(
            lambda: [
                os.readlink(f"/proc/self/fd/{name}")
                for name in os.listdir("/proc/self/fd")
                if os.path.lexists(f"/proc/self/fd/{name}")
            ]
        )
    assert "socket:" not in links
    # Standard input, output and error, the answers' pipe and the stream's own: nothing else.
    assert links.count("pipe:") == 5
    assert "/dev/" not in links


def test_a_check_has_a_session_and_a_group_of_its_own() -> None:
    assert seen_by_a_check(lambda: os.getpid() == os.getsid(0) == os.getpgid(0)) == "True"


def test_the_kernel_takes_a_check_first_when_memory_runs_out() -> None:
    assert seen_by_a_check(lambda: Path("/proc/self/oom_score_adj").read_text()) == "1000"


def test_a_crash_leaves_no_core_file_and_a_leak_ends() -> None:
    assert seen_by_a_check(lambda: resource.getrlimit(resource.RLIMIT_CORE)) == "(0, 0)"
    assert seen_by_a_check(lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1024) == "True"


def test_what_the_parent_made_is_not_collected_again() -> None:
    assert int(seen_by_a_check(gc.get_freeze_count)) > 1000
    assert gc.get_freeze_count() == 0


def test_handlers_and_masks_of_the_parent_are_not_inherited() -> None:
    heard: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        assert seen_by_a_check(lambda: signal.getsignal(signal.SIGTERM) is signal.SIG_DFL) == "True"
        assert seen_by_a_check(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [])) == "set()"
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR1}
        assert callable(signal.getsignal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, previous)
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    assert heard == []


@pytest.mark.parametrize("number", [signal.SIGCHLD, signal.SIGHUP, signal.SIGINT])
def test_what_the_parent_ignores_is_not_ignored_by_a_check(number: signal.Signals) -> None:
    """With SIGCHLD ignored, `subprocess` takes every program for one that succeeded."""
    previous = signal.signal(number, signal.SIG_IGN)
    try:
        assert seen_by_a_check(lambda: signal.getsignal(number) is signal.SIG_DFL) == "True"
        assert seen_by_a_check(lambda: subprocess.run(["sh", "-c", "exit 3"], check=False).returncode) == "3"
    finally:
        signal.signal(number, previous)


def test_what_the_parent_has_not_written_yet_is_written_once() -> None:
    printed = elsewhere(
        """
        sys.stdout.write("once ")
        report = runner(fake("A", lambda host, run: print("x" * 20000) or GOOD("m"))).run()
        print(report.results[0].reason)
        """
    )
    assert printed == "once Good\n"


def test_a_parent_whose_standard_streams_are_closed() -> None:
    printed = elsewhere(
        """
        out = os.dup(1)
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        report = runner(
            fake("A", lambda host, run: GOOD(str(os.write(1, b"to the runner")))),
            fake("B", lambda host, run: os.abort()),
            fake("C"),
        ).run()
        os.write(out, ",".join(result.reason for result in report.results).encode())
        """
    )
    assert printed == "Good,Crashed,Good"


def test_a_parent_that_ignores_its_children() -> None:
    printed = elsewhere(
        """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        suite = runner(fake("A"), fake("B", lambda host, run: os._exit(3)), fake("C"))
        print(*(result.reason for result in suite.run().results), suite.stuck)
        """
    )
    assert printed == "Good Crashed Good 0\n"


def test_what_has_ended_and_nobody_collects_is_not_stuck() -> None:
    """As in a container whose first process collects nothing: a subreaper that does not wait (prctl(2))."""
    printed = elsewhere(
        """
        PR_SET_CHILD_SUBREAPER = 36
        assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        def hang(host, run):
            subprocess.run(["sleep", "3600"])
        child = os.fork()
        if child == 0:
            suite = runner(fake("A", hang, timeout=0.3))
            print([suite.run().results[0].message for _ in range(2)], suite.stuck, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        """
    )
    assert printed == "['no answer within 0.3 s', 'no answer within 0.3 s'] 0\n"


def test_what_checks_leave_behind_is_collected_by_the_first_process_of_a_container() -> None:
    """A subreaper (prctl(2)) gets the orphans of its children, as process 1 does."""
    printed = elsewhere(
        """
        PR_SET_CHILD_SUBREAPER = 36
        assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        def leave(host, run):
            subprocess.Popen(["sleep", "3600"])
            return GOOD("left")
        suite = runner(fake("A", leave))
        for _ in range(3):
            suite.run()
        end = time.monotonic() + 30
        while suite._children._groups and time.monotonic() < end:
            time.sleep(0.01)
            suite._children.collect()
        try:
            print(os.waitpid(-1, os.WNOHANG))
        except ChildProcessError:
            print("none left")
        """
    )
    assert printed == "none left\n"


def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path) -> None:
    elsewhere(
        f"""
        def hang(host, run):
            with open({str(tmp_path / "pid")!r}, "w") as file:
                file.write(str(os.getpid()))
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(3600)
        runner(fake("A", hang, timeout=2.0)).run()
        """,
        status=-signal.SIGKILL,
    )
    pid = (tmp_path / "pid").read_text()
    waiting.until(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the child")


def test_a_handler_that_raises_at_the_fork_leaves_no_child(monkeypatch) -> None:
    class StoppedError(BaseException):
        """What a daemon's handler raises."""

    def stop(number, frame) -> None:
        raise StoppedError

    forked: list[int] = []
    real = os.fork

    def fork_and_be_stopped() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        forked.append(real())
        return forked[-1]

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        monkeypatch.setattr(os, "fork", fork_and_be_stopped)
        with pytest.raises(StoppedError):
            fork(lambda: signal.pause() or os._exit(0))
    finally:
        signal.signal(signal.SIGTERM, previous)
    waiting.until(lambda: not running(forked[0]), "the end of the child")


def running(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def test_a_parent_that_stops_in_the_middle_kills_the_child(tmp_path) -> None:
    def tell(result) -> None:
        raise KeyboardInterrupt

    def note(host, run):
        (tmp_path / "pid").write_text(str(os.getpid()))
        return GOOD("m")

    suite = Runner(
        [fake("A", note), fake("B", lambda host, run: signal.pause(), timeout=60)],
        Host(),
        Config(),
        node="n",
        agent_version="1",
    )
    with pytest.raises(KeyboardInterrupt):
        suite.run(on_result=tell)
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text()}")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_a_kernel_without_pidfd(monkeypatch, number: int) -> None:
    def refuse(pid: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    suite = Runner(
        [
            fake("A"),
            fake("B", lambda host, run: os.abort()),
            fake("C", lambda host, run: signal.pause(), timeout=0.2),
            fake("D", lambda host, run: (os.fork() and os._exit(1)) or signal.pause()),
            fake("E"),
        ],
        Host(),
        Config(),
        node="n",
        agent_version="1",
    )
    assert [result.reason for result in suite.run().results] == [
        "Good",
        "Crashed",
        "TimedOut",
        "Crashed",
        "Good",
    ]


@pytest.mark.parametrize("call", ["fork", "pipe"])
def test_without_a_process_or_a_pipe_no_check_is_asked_and_the_parent_lives(monkeypatch, call: str) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    suite = Runner([fake("A"), fake("B")], Host(), Config(), node="n", agent_version="1")
    before = sorted(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        report = suite.run()
    assert [(result.reason, result.message) for result in report.results] == [
        ("Crashed", "no process could be made for it: Resource temporarily unavailable")
    ] * 2
    assert "ulimit -u" in (report.results[0].hint or "")
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert suite.run().passed


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EMFILE])
def test_a_check_with_a_word_for_what_is_lacking_says_it(monkeypatch, number: int) -> None:
    """With ``ulimit -n 8``, fcntl(2) answers EINVAL: the first descriptor that it may take lies above."""

    def refuse(descriptor: int, command: int, minimum: int) -> int:
        raise OSError(number, os.strerror(number))

    lacking = unknown("ResourceExhausted", hint="ulimit -n")
    suite = Runner(
        [fake("A"), fake("B", outcomes=(GOOD, lacking))], Host(), Config(), node="n", agent_version="1"
    )
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "fcntl", refuse)
        report = suite.run()
    assert [(result.status, result.reason, result.passed) for result in report.results] == [
        (Status.UNKNOWN, "Crashed", False),
        (Status.UNKNOWN, "ResourceExhausted", False),
    ]
    assert {result.message for result in report.results} == {
        "no process could be made for it: Too many open files"
    }


def test_the_last_descriptor_is_given_back(monkeypatch) -> None:
    duplicated: list[int] = []

    def duplicate(descriptor: int, command: int, minimum: int) -> int:
        if duplicated:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        duplicated.append(os.dup(descriptor))
        return duplicated[0]

    before = sorted(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(fcntl, "fcntl", duplicate)
    with pytest.raises(OSError, match="Too many open files"):
        pipe()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_pipe_lies_above_the_standard_streams() -> None:
    reader, writer = pipe()
    try:
        assert min(reader, writer) >= 10
        assert not os.get_inheritable(reader)
        assert not os.get_inheritable(writer)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        assert os.get_blocking(writer)
    finally:
        os.close(reader)
        os.close(writer)


def test_the_end_of_a_child_is_waited_for() -> None:
    child = fork(lambda: os._exit(7))
    assert child.wait(30)
    assert child.exit_code == 7
    assert child.ended()
    assert os.path.exists(f"/proc/{child.pid}")
    child.collect()
    child.collect()
    assert child.fileno() is None
    assert not os.path.exists(f"/proc/{child.pid}")


@pytest.fixture
def sleeper() -> Iterator[Child]:
    """A child that has its group and waits; killed after the test, whatever happens."""
    reader, writer = pipe()

    def main() -> NoReturn:
        os.write(writer, b"x")
        signal.pause()
        os._exit(0)

    child = fork(main)
    try:
        assert wait_readable(reader, 30)
        yield child
    finally:
        os.close(reader)
        os.close(writer)
        kill_group(child.pid)
        child.wait(30)
        child.collect()


def test_a_child_that_goes_on_is_waited_for_no_longer_than_asked(sleeper: Child) -> None:
    assert not sleeper.wait(0.05)
    assert not sleeper.ended()
    kill_group(sleeper.pid)
    assert sleeper.wait(30)
    assert sleeper.exit_code == -signal.SIGKILL


def test_a_group_with_a_child_of_ours_is_not_swept(sleeper: Child) -> None:
    assert not sweep(sleeper.pid)
    kill_group(sleeper.pid)
    assert sleeper.wait(30)
    sleeper.collect()
    assert sweep(sleeper.pid)


def test_a_main_that_returns_or_raises_never_comes_back_as_a_second_parent() -> None:
    def explode() -> None:
        raise RuntimeError

    for main in (lambda: None, explode):
        child = fork(main)
        assert child.wait(30)
        assert child.exit_code == 70
        child.collect()


def test_handled_signals_can_be_caught() -> None:
    assert not {signal.SIGKILL, signal.SIGSTOP} & set(process._HANDLED)
