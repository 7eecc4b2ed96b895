"""The cluster that the specification is walked through on: one for each section, from one stage to the next.

The specification is what the project was asked for: spec.md, with interfaces.md, design.md and decisions.md,
which are not part of the repository. So each test says the line that it holds.

A stage is a fixture that builds on the one before it. Tests look at a stage and change nothing that a later
one needs, so that a whole section costs one start of the controller.
"""

from collections.abc import Iterator

import pytest
from controllerlab import ControllerLab
from controlplane import ControlPlane


@pytest.fixture(scope="module")
def lab(virtual_machine_kinds: ControlPlane) -> Iterator[ControllerLab]:
    """Two nodes whose agents answer as they are told; kinds of virtual machine; a running controller."""
    with ControllerLab(virtual_machine_kinds) as made:
        made.add_node("w1")
        made.add_node("w2")
        made.start()
        made.installed()
        yield made
