"""The controller killed at each of its writes, from enabling to disabling: each life ends at one of them."""

import pytest
from controllerlab import ControllerLab
from fates import Fate, Lives
from lifetime import EVERY_WRITE, enabling, kind_of, node_failing, told
from witness import Witness

EVENT = ("POST", "events")


@pytest.mark.filterwarnings("ignore:Exception in thread")  # the SystemExit that kills it
@pytest.mark.parametrize("fate", list(Fate))
@pytest.mark.timeout(300)
def test_a_controller_that_dies_at_each_of_its_writes(lab: ControllerLab, witness: Witness, fate: Fate):
    with Lives(lab, fate) as lives:
        for expected, enabled in told(lab):
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
    with Lives(lab, fate, at_events=True) as lives:
        for expected, enabled in told(lab, (enabling, node_failing)):
            witness.judge(*expected, enabled=enabled)
    assert len(lives.steps) >= 4  # of a batch of Events the first: the others are lost with the process
