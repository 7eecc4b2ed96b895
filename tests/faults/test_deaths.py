"""The controller killed at each of its writes, from enabling to disabling: each life ends at one of them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from controllerlab import ControllerLab
from fates import Fate, Lives
from lifetime import EVERY_WRITE, SECONDS, STORY, add_nodes, kind_of, told, upgraded, verdict
from witness import Expected, Witness

from controller.silence import Patience

LONG_STORY = (*STORY[:-2], upgraded, *STORY[-2:])
"""With an upgrade before all is disabled."""
EVENT = ("POST", "events")
SHORTLY = Patience(quiet=timedelta(seconds=0.5), idle=timedelta(seconds=0.5), versions=timedelta(seconds=1))
"""In place of a minute that an upgraded cluster has to be quiet."""


@pytest.mark.filterwarnings("ignore:Exception in thread")  # the SystemExit that kills it
@pytest.mark.parametrize("fate", list(Fate))
@pytest.mark.timeout(900)
def test_a_controller_that_dies_at_each_of_its_writes(lab: ControllerLab, witness: Witness, fate: Fate):
    add_nodes(lab)
    with Lives(lab, fate, patience=SHORTLY) as lives:
        for expected, enabled in told(lab, LONG_STORY):
            lives.carry_out()
            witness.judge(*expected, enabled=enabled)
    assert {kind_of(*step.split()[:2]) for step in lives.steps} == EVERY_WRITE - {EVENT}
    assert len(lives.steps) > 40
    # the successor had decided already: a status that is late is refused by its resource version
    assert {text.split(": ")[1] for text in lives.refused if "/status: " in text} <= {
        "409 Conflict",
        "404 NotFound",
    }


@pytest.mark.filterwarnings("ignore:Exception in thread")  # the SystemExit that kills it
@pytest.mark.parametrize("fate", [Fate.BEFORE, Fate.AFTER])
@pytest.mark.timeout(900)
def test_a_controller_that_dies_at_each_event(lab: ControllerLab, witness: Witness, fate: Fate):
    """It dies at the first of what one look has to tell: nobody answers before the start was told."""
    add_nodes(lab)
    with Lives(lab, fate, at_events=True) as lives:

        def check(ask: Callable[[], None], *, passed: bool) -> None:
            starts, known = told_starts(lives) + 1, lab.checks()
            lab.agents.silent = {"w1", "w2"}
            ask()
            lab.until(lambda: told_starts(lives) == starts, "it dies at the start's Event", seconds=SECONDS)
            lab.agents.speak("w1", "w2")
            verdict(lab, passed=passed, other_than=known)

        lab.installed()
        check(lab.enable, passed=True)
        witness.judge(Expected("Enabled", passed=True), enabled=True)
        lab.agents.failing = {"w2"}
        check(lambda: lab.ask("w2-fails"), passed=False)
        witness.judge(Expected("Enabled", passed=True), Expected("Requested", passed=False), enabled=True)
    assert len(lives.steps) >= 4  # the others are lost with the process


def told_starts(lives: Lives) -> int:
    return sum('"reason": "PreflightStarted"' in one for one in lives.steps)
