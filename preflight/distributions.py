"""Installed distributions and their entry points, read from their ``*.dist-info`` directories.

Says what ``importlib.metadata`` says (PyPA: entry points specification, recording installed projects), and
the tests hold it to that; archives on ``sys.path`` alone are not looked into. It is there because that module
takes 50 ms to import, more than a whole run.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_SUFFIXES = (".dist-info", ".egg-info")


class Distribution(NamedTuple):
    """An installed distribution.

    Attributes:
        name: Its normalized name (PEP 503).
        version: Its version, as its directory's name has it; may be empty.
        directory: Where its metadata is.
    """

    name: str
    version: str
    directory: str


class EntryPoint(NamedTuple):
    """What a distribution declares under a name in one group.

    Attributes:
        name: The name.
        value: The object's reference: ``module:attribute``.
        distribution: The distribution that declares it.
    """

    name: str
    value: str
    distribution: str

    @property
    def declaration(self) -> str:
        """Who declares what, for a message."""
        return f"{self.distribution} declares {self.name} = {self.value}"


def installed(path: Sequence[str] | None = None) -> Iterator[Distribution]:
    """Yields the distributions on ``path`` (by default ``sys.path``), a name only once."""
    seen = set()
    for folder in sys.path if path is None else path:
        try:
            names = os.listdir(folder or ".")
        except OSError:  # an entry that does not exist is usual, and so is an archive without distributions
            continue
        for name in names:
            if not name.lower().endswith(_SUFFIXES):
                continue
            stem, _, version = name.rpartition(".")[0].partition("-")
            normalized = re.sub(r"[-_.]+", "-", stem).lower()
            if normalized not in seen:
                seen.add(normalized)
                yield Distribution(normalized, version, os.path.join(folder, name))


def entry_points(group: str, path: Sequence[str] | None = None) -> list[EntryPoint]:
    """Returns the entry points of a group, sorted by name, then distribution."""
    found = []
    for distribution in installed(path):
        try:
            with open(
                os.path.join(distribution.directory, "entry_points.txt"), encoding="utf-8", errors="replace"
            ) as file:
                text = file.read()
        except OSError:  # most distributions have none
            continue
        found += [EntryPoint(name, value, distribution.name) for name, value in parse(text, group)]
    return sorted(found, key=lambda point: (point.name, point.distribution, point.value))


def parse(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Yields the names and values of a group in the text of an ``entry_points.txt``."""
    section = None
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section == group:
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()
