"""A controller on a real API server."""

from collections.abc import Iterator

import pytest
from controllerlab import ControllerLab
from controlplane import ControlPlane


@pytest.fixture
def lab(installed: ControlPlane) -> Iterator[ControllerLab]:
    """An installed cluster without nodes and without a running controller."""
    with ControllerLab(installed) as made:
        yield made
