"""Fixtures for tests of what `deploy/` installs."""

from collections.abc import Iterator

import pytest
from controlplane import ControlPlane

import cluster.resources as names


@pytest.fixture
def no_runtime(installed: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane without a VMRuntime, before and after."""
    path = names.VM_RUNTIMES.path(names.VM_RUNTIME_NAME)
    installed.request("DELETE", path)
    yield installed
    installed.request("DELETE", path)
