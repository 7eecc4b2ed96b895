"""Fixtures for tests of what `deploy/` installs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from controlplane import ControlPlane

import cluster.resources as names

MANIFESTS = Path(__file__).parents[1] / "support" / "manifests"


@pytest.fixture(scope="module")
def virtual_machine_kinds(installed: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with the kinds of virtual machines, which are taken away again."""
    file = MANIFESTS / "virtual-machines.yaml"
    installed.kubectl("apply", "-f", file)
    installed.kubectl("wait", "--for=condition=Established", "-f", file)
    yield installed
    installed.kubectl("delete", "-f", file)


@pytest.fixture
def no_runtime(installed: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane without a VMRuntime, before and after."""
    path = names.VM_RUNTIMES.path(names.VM_RUNTIME_NAME)
    installed.request("DELETE", path)
    yield installed
    installed.request("DELETE", path)
