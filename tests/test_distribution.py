"""What is installed: the wheel as a user gets it, and that nobody else provides a package of that name.

The rooms' names are everyday words: whatever is installed beside them could hide one, or be hidden by it.
"""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PathDistribution, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = {path.parent.name for path in ROOT.glob("*/py.typed")}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, unpacked as an installer does it."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(directory / "site")
    return directory / "site"


def test_the_distribution_is_the_only_provider_of_each_import_name(
    unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(unpacked)
    providers = packages_distributions()
    assert {room: set(providers[room]) for room in ROOMS} == {room: {"vm-preflight"} for room in ROOMS}


def test_the_wheel_holds_the_rooms_and_nothing_else(unpacked: Path) -> None:
    names = {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"}
    assert names == ROOMS
    modules = {path.relative_to(unpacked) for path in unpacked.rglob("*.py")}
    assert modules == {path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py")}


def test_every_entry_point_is_declared_and_loads(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info")
    points = PathDistribution(metadata).entry_points
    declared = PROJECT["project"]["entry-points"]["vm_preflight.checks"]
    checks = points.select(group="vm_preflight.checks")
    assert {point.name: point.value for point in checks} == declared
    assert [point.load().name for point in checks] == [point.name for point in checks]
    commands = points.select(group="console_scripts")
    assert {point.name: point.value for point in commands} == PROJECT["project"]["scripts"]
    assert all(callable(command.load()) for command in commands)


@pytest.mark.parametrize(
    ("listed", "rooms"),
    [
        (PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], ROOMS),
        (PROJECT["tool"]["importlinter"]["root_packages"], ROOMS | {"image", "lab"}),
        (PROJECT["tool"]["mypy"]["packages"], ROOMS),
        (PROJECT["tool"]["ruff"]["lint"]["isort"]["known-first-party"], ROOMS),
    ],
    ids=["wheel", "importlinter", "mypy", "isort"],
)
def test_every_tool_knows_every_room(listed: list[str], rooms: set[str]) -> None:
    assert set(listed) == rooms
