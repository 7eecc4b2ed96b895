"""A real controller process, SIGKILLed at each of its writes: a proxy holds them meanwhile."""

import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from controllerlab import ControllerLab
from controllerprocess import Kept
from fates import step
from faultyproxy import Call, Exchange, Fault, FaultyProxy
from lifetime import EVERY_WRITE, add_nodes, enabling, kind_of, label_removed, told
from waiting import until
from witness import Witness

SECONDS = 60.0
EVENT = ("POST", "events")
OF_DISABLING = {("DELETE", "nodepreflights"), ("DELETE", "daemonsets"), ("PATCH", "vmruntimepreflightchecks")}
"""Writes that a runtime which stays enabled does not need."""


class Executioner:
    """A rule that kills the controller at each write that it did not meet before, once.

    Lives that end at Events end at nothing else, as those of `fates.Lives`: Events are sent last.

    Attributes:
        steps: The writes at which one was killed, in order.
    """

    def __init__(self, *, carried_out: bool, at_events: bool) -> None:
        self.steps: list[str] = []
        self.kept: Kept | None = None
        self._carried_out = carried_out
        self._at_events = at_events
        self._retired = False
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> Fault | None:
        return self._meet if call.writes and call.path.endswith("/events") == self._at_events else None

    def _meet(self, exchange: Exchange) -> None:
        call = exchange.call
        name = step(call.method, call.path, call.json())
        with self._lock:
            assert self.kept is not None
            # a life that was killed meanwhile may have left it on its way: it arrives, and kills nobody
            fatal = name not in self.steps and not exchange.abandoned and not self._retired
            if fatal:
                if self._carried_out:
                    exchange.forward()
                self.steps.append(name)
                self.kept.kill()
        if fatal:
            exchange.reset()
        exchange.answer(*exchange.forward())

    def retire(self) -> None:
        """Kills nobody any more, once who is being killed is dead."""
        with self._lock:
            self._retired = True


@pytest.mark.timeout(900)
@pytest.mark.parametrize("at_events", [False, True], ids=["writes", "events"])
@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
def test_the_process_is_killed_at_each_of_its_writes(
    lab: ControllerLab,
    witness: Witness,
    proxy: FaultyProxy,
    tmp_path: Path,
    carried_out: bool,
    at_events: bool,
):
    """Before the API server sees the write, and before its answer is seen."""
    executioner = Executioner(carried_out=carried_out, at_events=at_events)
    add_nodes(lab)
    begun = time.monotonic()
    with Kept(lab.plane, "--no-leader-election", log=tmp_path / "controller.log", server=proxy.url) as kept:
        executioner.kept = kept
        proxy.rules = [executioner]
        for expected, enabled in told(lab, (enabling, label_removed)):
            witness.judge(*expected, enabled=enabled)
        until(lambda: kept.ready, "the last life to stay", seconds=SECONDS)
        executioner.retire()
        deaths = list(kept.ends)
    steps = executioner.steps
    print(f"killed at {len(steps)} writes: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    assert deaths == [-signal.SIGKILL] * len(steps)
    kinds = {kind_of(*one.split()[:2]) for one in steps}
    assert kinds == ({EVENT} if at_events else EVERY_WRITE - OF_DISABLING - {EVENT})
    # about 4 and 20: a life writes what its predecessors have left to do
    assert len(steps) >= (2 if at_events else 15)
