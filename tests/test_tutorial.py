"""The page that shows how a check is written: its example, installed beside vm-preflight and run."""

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
from program import vm_preflight

from preflight.discovery import GROUP

PAGE = (Path(__file__).parents[1] / "docs/writing-a-check.md").read_text(encoding="utf-8")
CURRENT = "sys/class/misc/hw_random/rng_current"


def block(language: str) -> str:
    """Returns the page's first block of code in a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the example's distribution in it, as an installer leaves one."""
    folder = tmp_path / "site"
    metadata = folder / "rng_check-1.0.dist-info"
    metadata.mkdir(parents=True)
    points = tomllib.loads(block("toml"))["project"]["entry-points"]
    assert points.keys() == {GROUP}
    lines = [f"{name} = {value}" for name, value in points[GROUP].items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    (folder / "rng_check.py").write_text(block("python"))
    return folder


def run(site: Path, root: Path, *words: str) -> tuple[int, dict[str, object]]:
    """Runs the program beside the example, and returns its status and the example's result."""
    ended = vm_preflight(
        *("run", "--only", "HardwareRandom", "-o", "json", "--host-root", str(root), *words),
        PYTHONPATH=f"{site}{os.pathsep}{Path(__file__).parents[1]}",
    )
    assert ended.stderr == ""
    (result,) = json.loads(ended.stdout)["results"]
    return ended.returncode, result


@pytest.mark.parametrize(
    ("contents", "status", "reason"),
    [
        ("virtio_rng.0\n", "Pass", "Available"),
        ("none\n", "Warn", "NoGenerator"),
        ("", "Warn", "NoGenerator"),
        (None, "Warn", "NoGenerator"),
    ],
)
def test_the_example_is_found_and_answers(
    site: Path, tmp_path: Path, contents: str | None, status: str, reason: str
) -> None:
    root = tmp_path / "root"
    (root / CURRENT).parent.mkdir(parents=True)
    if contents is not None:
        (root / CURRENT).write_text(contents)
    returned, result = run(site, root)
    assert returned == 0
    assert (result["checkName"], result["status"], result["reason"]) == ("HardwareRandom", status, reason)
    assert bool(result.get("hint")) is (status != "Pass")


def test_what_cannot_be_read_is_unknown_as_the_page_asks(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / CURRENT).mkdir(parents=True)
    _, result = run(site, root)
    assert (result["status"], result["reason"]) == ("Unknown", "Unreadable")


def test_its_weight_can_be_configured_as_the_page_says(site: Path, tmp_path: Path) -> None:
    config = tmp_path / "preflight.toml"
    config.write_text('[checks.HardwareRandom]\nweight = "blocking"\n')
    returned, result = run(site, tmp_path, "--config", str(config))
    assert (returned, result["status"], result["passed"]) == (1, "Fail", False)


def test_it_is_explained(site: Path) -> None:
    path = f"{site}{os.pathsep}{Path(__file__).parents[1]}"
    explained = vm_preflight("checks", "explain", "HardwareRandom", PYTHONPATH=path).stdout
    assert explained.startswith("HardwareRandom: Can guests get random numbers from hardware?")
    assert "NoGenerator" in explained
