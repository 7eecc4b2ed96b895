"""Lost answers, refusals and storms of them: each write from enabling to disabling meets with some."""

import itertools
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from controllerlab import ControllerLab
from fates import step
from faultyproxy import Call, Exchange, Fault, FaultyProxy, carried_out_but, lost, never_sent, status
from lifetime import EVERY_WRITE, add_nodes, kind_of, told
from witness import Expected, Witness

from cluster import events
from cluster.resources import NODE_PREFLIGHTS
from cluster.transport import Client
from controller.silence import Patience

REFUSALS: tuple[Fault, ...] = (
    status(500, "InternalError"),
    status(409, "Conflict"),
    carried_out_but(504, "Timeout"),
    status(429, "TooManyRequests"),
    never_sent,
    status(503, "ServiceUnavailable", Retry_After="1"),
    carried_out_but(500, "InternalError"),
    status(429, "TooManyRequests", Retry_After="1"),
    status(503, "ServiceUnavailable"),
    status(504, "Timeout"),
)


class Spoiler:
    """A rule that spoils each different write once.

    Attributes:
        steps: The writes that were spoilt, in order.
    """

    def __init__(self, *faults: Fault) -> None:
        self.steps: list[str] = []
        self._faults = faults
        self._of_kind: dict[tuple[str, str], Iterator[Fault]] = {}
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> Fault | None:
        if not call.writes:
            return None
        name = step(call.method, call.path, call.json())
        with self._lock:
            if name in self.steps:
                return None
            self.steps.append(name)
            kind = kind_of(call.method, call.path)
            return next(self._of_kind.setdefault(kind, itertools.cycle(self._faults)))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("faults", [(lost,), REFUSALS], ids=["lost", "refused"])
def test_each_write_is_spoilt(
    lab: ControllerLab, witness: Witness, proxy: FaultyProxy, faults: tuple[Fault, ...]
):
    spoiler = Spoiler(*faults)
    proxy.rules = [spoiler]
    add_nodes(lab)
    lab.start(client=Client(lab.credentials(proxy.url)))
    for expected, enabled in told(lab):
        witness.judge(*expected, enabled=enabled)
    assert {kind_of(*one.split()[:2]) for one in spoiler.steps} == EVERY_WRITE
    assert len(spoiler.steps) > 40


STORMS: dict[str, Fault] = {
    "throttled": status(429, "TooManyRequests"),
    "throttled-with-delay": status(429, "TooManyRequests", Retry_After="1"),
    "broken": status(500, "InternalError"),
    "away": status(503, "ServiceUnavailable"),
    "late": carried_out_but(504, "Timeout"),
    "reset": never_sent,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_over_everything(lab: ControllerLab, witness: Witness, proxy: FaultyProxy, storm: str):
    """Every call fails, reads and watches too, from the first answer on, and then for a while at the end."""
    fault = STORMS[storm]
    lab.add_node("w1")
    lab.agents.silent = {"w1"}
    lab.start(client=Client(lab.credentials(proxy.url)))
    lab.installed()
    storming = threading.Event()
    blown = threading.Semaphore(0)

    def rule(_: Call) -> Fault | None:
        if not storming.is_set():
            return None

        def fail(exchange: Exchange) -> None:
            blown.release()
            fault(exchange)

        return fail

    proxy.rules = [rule]

    def blow(times: int) -> None:
        storming.set()
        for watch in proxy.watches():
            watch.reset()
        for _ in range(times):
            assert blown.acquire(timeout=60)
        storming.clear()

    lab.enable()
    blow(10)
    lab.until(lambda: "w1" in lab.names(NODE_PREFLIGHTS), "the node is asked", seconds=60)
    lab.agents.speak("w1")
    blow(10)
    lab.verdict(passed=True, seconds=60)
    witness.judge(Expected("Enabled", passed=True), enabled=True)


def test_events_that_are_never_answered_hold_nothing_up(
    lab: ControllerLab, witness: Witness, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
):
    """As those of a cluster whose Events have an etcd of their own, which is down."""
    monkeypatch.setattr(events, "TIMEOUT", 1.5)
    names = [f"w{number}" for number in range(60)]
    for name in names:
        lab.add_node(name)
    lab.agents.failing = set(names)
    never = threading.Event()

    def rule(call: Call) -> Fault | None:
        return (lambda exchange: exchange.wait(never)) if call.path.endswith("/events") else None

    proxy.rules = [rule]
    lab.start(client=Client(lab.credentials(proxy.url)))
    lab.installed()
    lab.enable()
    lab.verdict(passed=False, seconds=60)
    lab.agents.failing = set()
    lab.ask("after")
    lab.until(lambda: lab.check("after").get("pass") is True, "the next verdict", seconds=60)
    never.set()
    witness.judge(Expected("Enabled", passed=False), Expected("Requested", passed=True), enabled=True)


def test_lists_that_are_refused_keep_nobody_from_switching_off(
    lab: ControllerLab, witness: Witness, proxy: FaultyProxy
):
    """A node is to be given up, and is not for as long as the API server does not say that it is silent."""
    lab.add_node("w1")
    lab.agents.silent = {"w1"}
    patience = Patience(answer=timedelta(seconds=2), rollout=timedelta(seconds=2))
    lab.start(client=Client(lab.credentials(proxy.url)), patience=patience)
    lab.installed()
    asked = threading.Semaphore(0)

    def rule(call: Call) -> Fault | None:
        if call.writes or call.watches or call.path != NODE_PREFLIGHTS.path():
            return None
        asked.release()
        return status(429, "TooManyRequests")

    proxy.rules = [rule]
    lab.enable()
    for _ in range(2):
        assert asked.acquire(timeout=60)
    assert lab.status()["enabled"] is True
    lab.enable(enabled=False)
    lab.until(lambda: lab.status()["enabled"] is False, "it is off", seconds=60)
    witness.judge(Expected("Enabled", passed=None), enabled=False)
