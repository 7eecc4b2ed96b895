"""The controller killed before and after each of its writes, on a real API server."""

import itertools

import pytest
from controllerlab import ControllerLab
from mortal import Writes, mortal

from cluster.resources import CHECKS, NAMESPACE, NODE_PREFLIGHTS

WRITES = 12
"""From enabling to ready the controller writes so often, Events included."""
STEPS = list(itertools.product(range(WRITES), (False, True)))


@pytest.mark.filterwarnings("ignore:Exception in thread reconciler")  # the SystemExit that kills it
@pytest.mark.parametrize(("fatal", "after"), STEPS)
def test_from_enabling_to_verdict(lab: ControllerLab, fatal: int, after: bool):
    lab.add_node("w1")
    lab.start()
    lab.installed()
    lab.stop()
    lab.enable()

    writes = Writes(fatal, after=after)
    lab.start(client=mortal(lab.credentials(), writes))
    lab.until(writes.killed.is_set, "killed")
    lab.stop()
    lab.start()
    lab.until(lambda: lab.status().get("ready") is True, "ready")

    (name,) = lab.checks()
    assert lab.check(name)["pass"] is True
    assert lab.agents.answered == [(name, "w1")]
    summary = lab.summary()
    assert summary["preflightCheckName"] == name
    assert summary["lastCompleted"]["name"] == name
    assert "pendingCheck" not in lab.status()
    assert lab.names(NODE_PREFLIGHTS) == {"w1"}
    annotations = lab.get(CHECKS, name, namespace=NAMESPACE)["metadata"]["annotations"]
    assert annotations == {"kubevm.io/trigger": "Enabled"}
