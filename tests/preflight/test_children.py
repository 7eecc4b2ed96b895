"""Children that are made ahead of the run they are for: used, given up, and ended with their parent."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import waiting
from fakechecks import BAD, GOOD, fake

from preflight.attempt import Attempt
from preflight.check import Check
from preflight.config import Config
from preflight.host import Host
from preflight.runner import Runner
from preflight.spare import Spare

ROOT = Path(__file__).parents[2]


def whoami(host: object, run: object) -> object:
    return GOOD(str(os.getpid()))


@contextlib.contextmanager
def ready(*checks: Check) -> Iterator[Runner]:
    """A runner whose next child is made, and that leaves nothing behind."""
    before = (sorted(os.listdir("/proc/self/fd")), children())
    others.clear()
    others.update(before[1])
    runner = Runner(checks, Host(), Config(), node="n", agent_version="1", ahead=True)
    runner.prepare()
    yield runner
    runner.close()
    assert (sorted(os.listdir("/proc/self/fd")), children()) == before


others: set[int] = set()
"""Children that were there before: those of other tests' fixtures."""


def children() -> list[int]:
    return sorted(child.pid for child in psutil.Process().children())


def waiting_one() -> int:
    """Returns the child that was made ahead."""
    (child,) = set(children()) - others
    return child


def gone(process: int) -> bool:
    """Whether a process has ended, collected or not."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def results(runner: Runner, **options: object) -> dict[str, str]:
    report = runner.run(**options)  # type: ignore[arg-type]  # handed on
    return {result.check_name: result.message for result in report.results}


def test_the_child_that_waits_runs_the_suite() -> None:
    with ready(fake("A", whoami), fake("B", whoami)) as runner:
        waits = waiting_one()
        assert results(runner) == {"A": str(waits), "B": str(waits)}
        runner.prepare()
        another = waiting_one()
        assert another != waits
        assert results(runner) == {"A": str(another), "B": str(another)}


def test_preparing_twice_makes_one() -> None:
    with ready(fake("A", whoami)) as runner:
        before = children()
        runner.prepare()
        assert children() == before


def test_it_is_told_what_to_ask_and_how() -> None:
    def tell(host, run):
        return GOOD(f"{run.use_emulation} {sorted(run.findings)}")

    with ready(fake("A", tell), fake("B", tell, after=("A",)), fake("C", BAD)) as runner:
        assert results(runner, only=("B",), use_emulation=True) == {"B": "True ['A']"}
        runner.prepare()
        assert results(runner, only=("A",)) == {"A": "False []"}


def test_where_none_waits_one_is_made() -> None:
    with ready(fake("A", whoami)) as runner:
        first = results(runner)
        assert results(runner) != first


def test_one_that_was_killed_while_it_waited_costs_no_answer() -> None:
    with ready(fake("A", whoami)) as runner:
        waits = waiting_one()
        os.kill(waits, signal.SIGKILL)
        waiting.until(lambda: gone(waits), "its end")
        assert results(runner)["A"] not in (str(waits), "")
        assert runner.run().passed


def test_the_number_of_one_that_somebody_else_collected_is_not_signalled(monkeypatch) -> None:
    killed: list[int] = []
    others.clear()
    others.update(children())
    runner = Runner([fake("A", whoami)], Host(), Config(), node="n", agent_version="1", kill=killed.append)
    runner.prepare()
    waits = waiting_one()
    os.kill(waits, signal.SIGKILL)
    os.waitpid(waits, 0)
    runner.close()
    assert killed == []


def test_one_that_crashes_costs_its_own_answer_only() -> None:
    with ready(fake("A"), fake("B", lambda host, run: os.abort()), fake("C", whoami)) as runner:
        waits = waiting_one()
        said = results(runner)
        assert "SIGABRT" in said["B"]
        assert said["C"] != str(waits)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_signal_before_anybody_has_the_child_leaves_none(monkeypatch, ahead: bool) -> None:
    """Ctrl-C between a child's first moment and the run that is to end it."""
    made = Spare.start if ahead else Attempt.__init__

    def make_and_be_interrupted(*arguments: object, **options: object) -> None:
        made(*arguments, **options)
        raise KeyboardInterrupt

    before = children()
    endless = fake("A", lambda host, run: signal.pause(), timeout=600)
    runner = Runner([endless], Host(), Config(), node="n", agent_version="1", ahead=ahead)
    if ahead:
        runner.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(*((Spare, "start") if ahead else (Attempt, "__init__")), make_and_be_interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.run()
    assert children() == before
    runner.close()


@pytest.mark.parametrize("call", ["fork", "pipe"])
def test_none_is_made_where_that_is_not_possible(monkeypatch, call: str) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    before = sorted(os.listdir("/proc/self/fd"))
    runner = Runner([fake("A", whoami)], Host(), Config(), node="n", agent_version="1", ahead=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        runner.prepare()
        assert sorted(os.listdir("/proc/self/fd")) == before
    assert runner.run().passed
    runner.close()


def test_a_run_kills_at_once_what_it_leaves_behind(tmp_path) -> None:
    def leave(host, run):
        return GOOD(str(subprocess.Popen(["sleep", "3600"]).pid))

    with ready(fake("A", leave)) as runner:
        left = int(results(runner)["A"])
        waiting.until(lambda: gone(left), "the end of what was left behind")


def test_one_that_waits_ends_with_its_parent() -> None:
    program = """
        import os, signal, sys
        from fakechecks import fake
        from preflight.config import Config
        from preflight.host import Host
        from preflight.runner import Runner
        Runner([fake("A")], Host(), Config(), node="n", agent_version="1", ahead=True).prepare()
        print(open(f"/proc/self/task/{os.getpid()}/children").read(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/support")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    waiting.until(lambda: gone(int(done.stdout)), "the end of the one that waits")
