"""The API server killed and etcd stopped or killed at each stage of a run of a real controller process."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from controllerlab import ControllerLab
from controllerprocess import Kept
from faultyproxy import Call, Exchange, Fault, FaultyProxy
from witness import Expected, Witness

from cluster import shapes
from cluster.resources import NODE_PREFLIGHTS
from cluster.transport import ApiError

SECONDS = 100.0

Stage = Callable[[Call], bool]


def is_started(call: Call) -> bool:
    status = shapes.mapping(call.json(), "status")
    return "startTime" in status and "completionTime" not in status


def asks_a_node(call: Call) -> bool:
    return call.method == "PATCH" and "/nodepreflights/" in call.path


def is_verdict(call: Call) -> bool:
    return "pass" in shapes.mapping(call.json(), "status")


def records_verdict(call: Call) -> bool:
    return "lastCompleted" in shapes.mapping(call.json(), "status", "preflightCheckSummary")


STAGES: dict[str, Stage] = {
    "before the start is written": is_started,
    "before a node is asked": asks_a_node,
    "before the verdict is written": is_verdict,
    "before the verdict decides": records_verdict,
}


def eventually(lab: ControllerLab, look: Callable[[], object], what: str) -> None:
    """Waits for what is there in the end; meanwhile the API server may be away."""

    def answered() -> bool:
        try:
            return bool(look())
        except ApiError as error:
            if error.status == 0 or error.status >= 500:
                return False
            raise

    lab.until(answered, what, seconds=SECONDS)


@pytest.mark.timeout(900)
def test_the_api_server_is_killed_at_each_stage_of_a_run(
    lab: ControllerLab, witness: Witness, proxy: FaultyProxy, tmp_path: Path
):
    """The write with which a stage begins finds no API server any more."""
    lab.add_node("w1")
    left = dict(STAGES)
    down, up = threading.Semaphore(0), threading.Event()
    up.set()

    def crash(exchange: Exchange) -> None:
        exchange.wait(up)  # it answers before it calls itself ready
        up.clear()
        lab.plane.stop_apiserver()
        down.release()
        exchange.reset()

    def rule(call: Call) -> Fault | None:
        if not call.writes:
            return None
        name = next((name for name, begins in list(left.items()) if begins(call)), "")
        return crash if left.pop(name, None) else None  # of two calls that come at once, one

    with Kept(lab.plane, "--no-leader-election", log=tmp_path / "controller.log", server=proxy.url) as kept:
        lab.until(lab.status, "the controller writes the VMRuntime's status", seconds=SECONDS)
        proxy.rules = [rule]
        lab.enable()
        for _ in STAGES:
            assert down.acquire(timeout=SECONDS), f"not reached: {left}"
            lab.plane.start_apiserver()  # by this thread: the process ends with the one that started it
            up.set()
        eventually(lab, lambda: lab.summary().get("preflightCheckPassed") is True, "the verdict")
        witness.judge(Expected("Enabled", passed=True), enabled=True)
        assert kept.ends == []
        # an API server that was started anew knows no older places than its own: watches began with a list
        assert "410 Expired: too old resource version" in (tmp_path / "controller.log").read_text()


@pytest.mark.timeout(900)
def test_etcd_is_stopped_for_twenty_seconds_and_killed(lab: ControllerLab, witness: Witness, tmp_path: Path):
    """A leader that cannot renew its lease ends, and is started again as a kubelet does."""
    lab.add_node("w1")
    lab.agents.silent = {"w1"}
    with Kept(lab.plane, log=tmp_path / "controller.log") as kept:
        lab.until(lab.status, "the controller writes the VMRuntime's status", seconds=SECONDS)
        lab.enable()
        lab.until(lambda: "w1" in lab.names(NODE_PREFLIGHTS), "the node is asked", seconds=SECONDS)
        with lab.plane.etcd_stopped():
            lab.agents.speak("w1")
            time.sleep(20)  # longer than the 10 s in which a leader must renew its lease
        eventually(lab, lambda: lab.summary().get("preflightCheckPassed") is True, "the verdict")
        assert set(kept.ends) <= {1}
        witness.judge(Expected("Enabled", passed=True), enabled=True)

        lab.agents.silent = {"w1"}
        lab.ask("again")
        lab.until(lambda: lab.check("again").get("startTime"), "it runs", seconds=SECONDS)
        lab.plane.restart_etcd()
        lab.agents.speak("w1")
        eventually(lab, lambda: lab.check("again").get("pass") is True, "its verdict")
        witness.judge(Expected("Enabled", passed=True), Expected("Requested", passed=True), enabled=True)
