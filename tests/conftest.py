"""Fixtures that every room shares: one real control plane for the session, and promtool."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import toolchain
import vmkinds
from controlplane import ControlPlane

# An example that is slow on a busy machine is no failure; tests that measure time do so themselves.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")

PROGRAMS = {
    "control_plane": toolchain.CONTROL_PLANE,
    "promtool": ("promtool",),
}
"""Which programs a fixture needs."""


def pytest_configure() -> None:
    """Lets Ctrl-C be: a shell has what it starts in the background ignore it, and so would our programs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds missing programs before the first test, outside any test's time-out, with visible progress."""
    if session.config.option.collectonly:
        return
    used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    wanted = [name for fixture in PROGRAMS if fixture in used for name in PROGRAMS[fixture]]
    capture = session.config.pluginmanager.getplugin("capturemanager")
    for name in wanted:
        if toolchain.installed(name) is None:
            with capture.global_and_fixture_disabled():
                try:
                    toolchain.find(name)
                except (
                    toolchain.ToolMissingError
                ) as error:  # told once more, by each test that is skipped for it
                    print(f"toolchain: {error}", file=sys.stderr)
                    return


def _programs(fixture: str) -> dict[str, Path]:
    """Finds a fixture's programs; skips its tests where they cannot be had, but never in CI."""
    try:
        return {name: toolchain.find(name) for name in PROGRAMS[fixture]}
    except toolchain.ToolMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' own checker of metrics and rules."""
    return _programs("promtool")["promtool"]


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real API server with controller manager and RBAC, one for all tests of the session.

    Tests leave it as they found it, or keep to a namespace and names of their own.
    """
    _programs("control_plane")
    with ControlPlane(controller_manager=True) as plane:
        yield plane


@pytest.fixture(scope="session")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with `deploy/` applied; no kubelet is there to run the controller."""
    control_plane.apply_deploy()
    return control_plane


@pytest.fixture(scope="module")
def virtual_machine_kinds(installed: ControlPlane) -> Iterator[ControlPlane]:
    """The installed control plane with the kinds of virtual machine, which are taken away again."""
    installed.apply_kinds()
    vmkinds.would_be_created(installed)  # an answer is there, whichever
    yield installed
    installed.remove_kinds()
