"""A cluster that faults are made in, and a witness of what comes of them."""

from collections.abc import Iterator

import pytest
from controllerlab import ControllerLab
from controlplane import ControlPlane
from faultyproxy import FaultyProxy
from witness import Witness


@pytest.fixture
def lab(virtual_machine_kinds: ControlPlane) -> Iterator[ControllerLab]:
    """An installed cluster without nodes and without a running controller."""
    with ControllerLab(virtual_machine_kinds) as made:
        yield made


@pytest.fixture
def witness(lab: ControllerLab) -> Iterator[Witness]:
    """Sees everything that happens in the cluster, from before a test on."""
    with Witness(lab) as made:
        yield made


@pytest.fixture
def proxy(lab: ControllerLab) -> Iterator[FaultyProxy]:
    """A proxy before the API server, for the controller or an agent; everybody else speaks to it directly."""
    with FaultyProxy(lab.plane) as made:
        yield made
