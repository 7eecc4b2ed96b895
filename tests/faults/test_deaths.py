"""The controller killed at each of its writes, from enabling to disabling: each life ends at one of them."""

from datetime import timedelta

import pytest
from controllerlab import ControllerLab
from fates import Fate, Lives
from lifetime import EVERY_WRITE, STORY, add_nodes, enabling, kind_of, node_failing, told, upgraded
from witness import Witness

from controller.silence import Patience

LONG_STORY = (*STORY[:-2], upgraded, *STORY[-2:])
"""With an upgrade before all is disabled."""
EVENT = ("POST", "events")
SHORTLY = Patience(quiet=timedelta(seconds=0.5), idle=timedelta(seconds=0.5), versions=timedelta(seconds=1))
"""In place of a minute that an upgraded cluster has to be quiet."""


@pytest.mark.filterwarnings("ignore:Exception in thread")  # the SystemExit that kills it
@pytest.mark.parametrize("fate", list(Fate))
@pytest.mark.timeout(400)
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
def test_a_controller_that_dies_at_each_event(lab: ControllerLab, witness: Witness, fate: Fate):
    add_nodes(lab)
    with Lives(lab, fate, at_events=True) as lives:
        for expected, enabled in told(lab, (enabling, node_failing)):
            witness.judge(*expected, enabled=enabled)
    assert len(lives.steps) >= 4  # of a batch of Events the first: the others are lost with the process
