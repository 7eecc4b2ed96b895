"""A real agent and probe, killed and cut off at each step of a run: each request gets its one answer."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agentlab import Lab
from agents_bench import Bench
from controlplane import ControlPlane
from faultyproxy import (
    GONE,
    Call,
    Exchange,
    Fault,
    FaultyProxy,
    Watch,
    carried_out_but,
    lost,
    never_sent,
    status,
)
from waiting import until

SECONDS = 60.0


@pytest.fixture
def bench(installed: ControlPlane, tmp_path: Path) -> Iterator[Bench]:
    with Lab(tmp_path) as lab, FaultyProxy(installed) as proxy, Bench(installed, lab, proxy) as made:
        yield made


FAULTS: dict[str, Fault] = {
    "lost": lost,
    "never sent": never_sent,
    "500": status(500, "InternalError"),
    "503": status(503, "ServiceUnavailable", Retry_After="1"),
    "504 though done": carried_out_but(504, "Timeout"),
    "429": status(429, "TooManyRequests"),
    "429 with delay": status(429, "TooManyRequests", Retry_After="1"),
    "409": status(409, "Conflict"),
    "403": status(403, "Forbidden"),
}


def test_each_answer_is_spoilt_in_turn(bench: Bench):
    bench.lab.probe("Fine")
    agent = bench.agent()
    until(
        lambda: bench.passed() is True, "the first run's answer, which is not to be spoilt", seconds=SECONDS
    )
    for number, (what, fault) in enumerate(FAULTS.items()):
        left = [fault]
        bench.proxy.rules = [lambda call, left=left: left.pop() if call.writes and left else None]
        bench.ask(f"run-{number}")
        bench.answered(f"run-{number}")
        assert left == [], what
    assert agent.metric("runs_total", trigger="Requested") == len(FAULTS)


@pytest.mark.parametrize(
    "spoil", [Watch.reset, Watch.cut, lambda watch: watch.fail(GONE)], ids=["reset", "cut", "gone"]
)
def test_its_watch_is_spoilt(bench: Bench, spoil: Callable[[Watch], None]):
    bench.lab.probe("Fine")
    agent = bench.agent()
    until(lambda: agent.metric("passed") == 1, "the first run", seconds=SECONDS)
    (watch,) = until(lambda: bench.proxy.watches() or None, "its watch", seconds=SECONDS)
    spoil(watch)
    bench.ask("r1")
    bench.answered("r1")


Step = tuple[str, Callable[[Call], bool]]
STEPS: tuple[Step, ...] = (
    ("list", lambda call: not call.writes and not call.watches),
    ("watch", lambda call: call.watches),
    ("answer", lambda call: call.writes and b'"runID"' in call.body),
)


class Killer:
    """A rule that holds the first call of a step for ever, so that its caller can be killed meanwhile."""

    def __init__(self, is_step: Callable[[Call], bool], *, after: bool) -> None:
        self.reached, self.dead = threading.Event(), threading.Event()
        self._is_step = is_step
        self._after = after

    def __call__(self, call: Call) -> Fault | None:
        return self._hold if not self.reached.is_set() and self._is_step(call) else None

    def _hold(self, exchange: Exchange) -> None:
        if self._after and not exchange.call.watches:
            exchange.forward()
        self.reached.set()
        exchange.wait(self.dead)
        exchange.reset()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_agent_is_killed_at_each_of_its_calls(bench: Bench, after: bool):
    """Before the API server sees the call, and before its answer comes."""
    bench.lab.probe("Fine")
    for name, is_step in STEPS:
        bench.ask(name)
        killer = Killer(is_step, after=after)
        bench.proxy.rules = [killer]
        agent = bench.agent()
        assert killer.reached.wait(SECONDS), name
        agent.kill()
        killer.dead.set()
    bench.proxy.rules = []
    bench.agent()
    bench.answered(name)


def test_the_agent_is_killed_while_the_probe_works(bench: Bench):
    """The probe finds out when it is done, and greets the next agent, which asks again."""
    marker = bench.lab.plugin / "waiting"
    bench.lab.probe("Waiter", "Fine")
    bench.ask("r1")
    agent = bench.agent()
    until(marker.exists, "the check is asked", seconds=SECONDS)
    agent.kill()
    agent = bench.agent()
    (bench.lab.plugin / "go").touch()
    bench.answered("r1")
    until(lambda: agent.metric("passed") == 1, "it tells what it has found", seconds=SECONDS)


def test_the_probe_is_killed_at_each_stage_of_a_run(bench: Bench):
    """While a check runs, and when all is found and the answer is on its way."""
    marker, go = bench.lab.plugin / "waiting", bench.lab.plugin / "go"
    probe = bench.lab.probe("Waiter", "Fine")
    bench.ask("r1")
    agent = bench.agent()

    until(marker.exists, "the check is asked", seconds=SECONDS)
    probe.kill()
    until(lambda: agent.metric("probe_up") == 0, "the agent sees it", seconds=SECONDS)
    go.touch()
    probe = bench.lab.probe("Waiter", "Fine")
    bench.answered("r1")

    killed: list[int] = []

    def rule(call: Call) -> Fault | None:
        if killed or not call.writes:
            return None

        def kill(exchange: Exchange) -> None:
            os.kill(probe.popen.pid, signal.SIGKILL)
            killed.append(probe.popen.pid)
            exchange.answer(*exchange.forward())

        return kill

    bench.proxy.rules = [rule]
    bench.ask("r2")
    bench.answered("r2")
    assert killed == [probe.popen.pid]
    bench.lab.probe("Fine")
    bench.ask("r3")
    bench.answered("r3")


def test_a_half_open_watch_is_given_up_by_itself(bench: Bench):
    """Nothing comes any more, and nobody says so: what was asked meanwhile is answered all the same."""
    bench.lab.probe("Fine")
    agent = bench.agent(silence=3.0)  # in place of 90 s: the API server's bookmarks come every minute
    until(lambda: agent.metric("passed") == 1, "the first run", seconds=SECONDS)
    (watch,) = until(lambda: bench.proxy.watches() or None, "its watch", seconds=SECONDS)
    watch.frozen.set()
    bench.ask("r1")
    bench.answered("r1")
    until(lambda: any(one is not watch for one in bench.proxy.watches()), "another watch", seconds=SECONDS)
