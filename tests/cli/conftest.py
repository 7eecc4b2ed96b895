"""A controller on a real API server, and a cluster that knows virtual machines."""

from collections.abc import Iterator

import pytest
import vmkinds
from controllerlab import ControllerLab
from controlplane import ControlPlane

from cluster.resources import VIRTUAL_MACHINES


@pytest.fixture
def lab(virtual_machine_kinds: ControlPlane) -> Iterator[ControllerLab]:
    """An installed cluster with one node, the kinds of virtual machine, and a running controller."""
    with ControllerLab(virtual_machine_kinds) as made:
        made.add_node("n1")
        made.start()
        made.installed()
        vmkinds.would_be_created(
            made.plane
        )  # a test before may have restarted the API server: an answer is there
        yield made
        made.stop()
        for kind in VIRTUAL_MACHINES:
            for name in made.names(kind, namespace="default"):
                made.delete(kind, name, namespace="default")
