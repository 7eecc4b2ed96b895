"""A controller whose clock is an hour off takes over in the middle of a run, on a real API server."""

from datetime import UTC, datetime, timedelta

import pytest
from controllerlab import ControllerLab

from cluster.resources import NODE_PREFLIGHTS
from controller import main
from controller.silence import Patience

PATIENCE = Patience(progress=timedelta(seconds=1))


@pytest.mark.parametrize("hours", [1, -1])
def test_nobody_is_given_up_at_once(lab: ControllerLab, monkeypatch: pytest.MonkeyPatch, hours: int):
    lab.add_node("w1")
    lab.add_node("w2")
    lab.agents.silent = {"w2"}
    lab.start(patience=PATIENCE)
    lab.installed()
    lab.enable()
    lab.until(lambda: "w1" in {node for _, node in lab.agents.answered}, "one node answers")
    lab.until(lambda: "w2" in lab.names(NODE_PREFLIGHTS), "the other one is asked")
    lab.stop()
    (name,) = lab.checks()
    monkeypatch.setattr(main, "_now", lambda: datetime.now(UTC) + timedelta(hours=hours))
    lab.start(patience=PATIENCE)
    told = "1 of 2 nodes answered"
    lab.until(lambda: lab.condition("Complete", lab.check(name)).get("message") == told, "it has looked")
    assert "pass" not in lab.check(name)
    lab.agents.speak("w2")
    assert lab.verdict(passed=True) == name
