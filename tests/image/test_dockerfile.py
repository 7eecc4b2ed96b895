"""The Dockerfile and what is handed to a build, held to the project: what can be told without building.

That the image builds, and what runs from it, is the end-to-end tests' matter (tests/e2e).
"""

import re
import tomllib
from pathlib import Path

from image import source

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
DOCKERFILE = (ROOT / "Dockerfile").read_text()
FINAL = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
COPIED = {
    path
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for path in line.split()
}


def test_every_room_is_copied_and_nothing_else_but_what_builds_it() -> None:
    locked = {"requirements/runtime.txt", "requirements/build.txt"}
    assert ROOMS | locked | {"pyproject.toml", "README.md", "LICENSE"} == COPIED


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == COPIED


def test_nothing_runs_on_the_architecture_that_the_image_is_for_but_its_python() -> None:
    """So it builds for any that Python and the locked wheels are there for, and for none in another way."""
    assert not re.search(r"x86_64|amd64|aarch64|arm64", DOCKERFILE)
    assert not re.search("^RUN", FINAL, re.MULTILINE), "what the image stands on may have no shell"


def test_it_is_nobody_by_default_and_starts_without_a_shell() -> None:
    assert re.findall(r"^USER (.+)$", FINAL, re.MULTILINE) == ["65532:65532"]
    assert re.findall(r"^ENTRYPOINT (.+)$", FINAL, re.MULTILINE) == ['["/opt/vm-preflight/bin/vm-preflight"]']


def test_the_default_base_has_a_python_that_the_project_takes() -> None:
    found = re.search(r"python:3\.(\d+)", source.default_base())
    assert found is not None
    assert int(found[1]) >= int(PROJECT["project"]["requires-python"].rpartition(".")[2])
