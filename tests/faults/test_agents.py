"""A real agent and probe, killed and cut off at each step of a run: each request gets its one answer."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from agentlab import AgentProcess, Lab
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

from cluster import node_preflight
from cluster.resources import AGENT_NAME, NAMESPACE, NODE_PREFLIGHTS, NODES, PODS
from cluster.shapes import mapping, text

NODE = "faulty-agent-node"
SECONDS = 60.0


class Bench:
    """One node's agent between a proxy and a probe."""

    def __init__(self, plane: ControlPlane, lab: Lab, proxy: FaultyProxy) -> None:
        self.plane, self.lab, self.proxy = plane, lab, proxy
        node = self._make(NODES.path(), {"kind": "Node", "metadata": {"name": NODE}})
        container = {"name": "agent", "image": "none"}
        spec = {"nodeName": NODE, "serviceAccountName": AGENT_NAME, "containers": [container]}
        pod = {"kind": "Pod", "metadata": {"name": NODE, "namespace": NAMESPACE}, "spec": spec}
        self._make(PODS.path(namespace=NAMESPACE), pod)
        body = node_preflight.spec_body(NODE, node_uid=text(node, "metadata", "uid"))
        self._make(NODE_PREFLIGHTS.path(), {**body})
        token = plane.token(AGENT_NAME, NAMESPACE, pod=NODE)
        self._kubeconfig = str(plane.kubeconfig_for_token(token, server=proxy.url))

    def agent(self) -> AgentProcess:
        return self.lab.agent(kubeconfig=self._kubeconfig, node=NODE)

    def ask(self, run: str) -> None:
        deadline = datetime.now(UTC) + timedelta(seconds=100)
        body = {"spec": {"run": {"id": run, "check": f"check-{run}", "deadline": deadline.isoformat()}}}
        code, answer = self.plane.request("PATCH", NODE_PREFLIGHTS.path(NODE), body)
        assert code == 200, answer

    def answered(self, run: str) -> None:
        """Waits for the answer, and holds it against what the probe's one check finds."""
        until(lambda: self._status().get("runID") == run, f"the answer to {run}", seconds=SECONDS)
        assert self._status().get("passed") is True, self._status()

    def _status(self) -> dict[str, object]:
        return dict(mapping(self.plane.request("GET", NODE_PREFLIGHTS.path(NODE))[1], "status"))

    def _make(self, path: str, body: dict[str, object]) -> dict[str, object]:
        code, made = self.plane.request("POST", path, {"apiVersion": "v1", **body})
        assert code == 201, made
        return made

    def clean(self) -> None:
        for path in (NODE_PREFLIGHTS.path(NODE), NODES.path(NODE)):
            self.plane.request("DELETE", path)
        pod = PODS.path(NODE, namespace=NAMESPACE)
        self.plane.request("DELETE", pod, {"gracePeriodSeconds": 0})


@pytest.fixture
def bench(installed: ControlPlane, tmp_path: Path) -> Iterator[Bench]:
    with Lab(tmp_path) as lab, FaultyProxy(installed) as proxy:
        made = Bench(installed, lab, proxy)
        try:
            yield made
        finally:
            made.clean()


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
    until(lambda: agent.metric("passed") == 1, "the first run", seconds=SECONDS)
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
    (watch,) = until(lambda: bench.proxy.watches(), "its watch", seconds=SECONDS)
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


def test_the_probe_is_killed_at_each_stage_of_a_run(bench: Bench):
    """While a check runs (parent, then child), and when all is found and the answer is on its way."""
    marker, go = bench.lab.plugin / "waiting", bench.lab.plugin / "go"
    probe = bench.lab.probe("Waiter", "Fine")
    bench.ask("r1")
    agent = bench.agent()

    def child() -> int:
        pid = int(
            until(lambda: marker.exists() and marker.read_text(), "the check is asked", seconds=SECONDS)
        )
        marker.unlink()
        return pid

    child()
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
