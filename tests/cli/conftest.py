"""A controller on a real API server, and a cluster that knows virtual machines."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from controllerlab import ControllerLab
from controlplane import ControlPlane

from cluster.resources import VIRTUAL_MACHINES

MACHINES = Path(__file__).parents[1] / "support" / "manifests" / "virtual-machines.yaml"


@pytest.fixture
def lab(installed: ControlPlane) -> Iterator[ControllerLab]:
    """An installed cluster with one node, the kinds of virtual machine, and a running controller."""
    installed.kubectl("apply", "-f", MACHINES)
    with ControllerLab(installed) as made:
        made.add_node("n1")
        made.start()
        made.installed()
        yield made
        made.stop()
        for kind in VIRTUAL_MACHINES:
            for name in made.names(kind, namespace="default"):
                made.delete(kind, name, namespace="default")
