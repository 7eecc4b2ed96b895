"""Parses modprobe's configuration (modprobe.d(5)) and tells what forbids a module."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from linux.cmdline import normal

DIRECTORIES = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)
"""Where it looks; a file hides those of the same name in later directories."""


class Rule(NamedTuple):
    """A line that keeps a module from being loaded.

    Attributes:
        file: Where it stands.
        text: The line.
    """

    file: str
    text: str


def effective_files(listing: Mapping[str, Iterable[str]]) -> list[str]:
    """Returns the paths that modprobe reads, in its order.

    Args:
        listing: Directory to the names in it, directories in modprobe's order.
    """
    chosen: dict[str, str] = {}
    for directory, names in listing.items():
        for name in names:
            if name.endswith(".conf"):
                chosen.setdefault(name, f"{directory}/{name}")
    return [chosen[name] for name in sorted(chosen)]


def forbidding(file: str, text: str, modules: Iterable[str]) -> list[Rule]:
    """Returns the lines of a file that keep any of the modules from being loaded.

    That is ``blacklist MODULE``, and ``install MODULE COMMAND`` where the command loads nothing, such as
    ``/bin/false``.
    """
    wanted = frozenset(map(normal, modules))
    rules: list[Rule] = []
    for line in _lines(text):
        words = [word for word in re.split("[ \t]", line) if word]
        if len(words) < 2 or normal(words[1]) not in wanted:
            continue
        if words[0] == "blacklist" or (words[0] == "install" and not _loads(words[2:])):
            rules.append(Rule(file, " ".join(words)))
    return rules


def _lines(text: str) -> list[str]:
    """Returns lines as kmod reads them (shared/util.c, freadline_wrapped).

    A backslash joins a line with the next one, and is itself dropped before anything else.
    """
    return re.sub(r"\\(.?)", lambda escaped: escaped[1].strip("\n"), text, flags=re.DOTALL).split("\n")


def _loads(command: list[str]) -> bool:
    text = " ".join(command)
    return "modprobe" in text or "insmod" in text
