"""A controller on a real API server, and a cluster that knows virtual machines."""

from collections.abc import Iterator

import pytest
import vmkinds
from controllerlab import ControllerLab
from controlplane import ControlPlane


@pytest.fixture
def lab(virtual_machine_kinds: ControlPlane) -> Iterator[ControllerLab]:
    """An installed cluster with one node, the kinds of virtual machine, and a running controller."""
    with ControllerLab(virtual_machine_kinds) as made:
        made.add_node("n1")
        made.start()
        made.installed()
        vmkinds.would_be_created(made.plane)  # the API server may have been restarted: an answer is there
        yield made
        made.stop()
        vmkinds.release_all(made.plane)
