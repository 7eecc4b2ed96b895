"""Parses modprobe's configuration (modprobe.d(5)) and tells what forbids a module."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
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
    """A line that says what loading a module does.

    Attributes:
        file: Where it stands.
        text: The line.
        verb: ``blacklist``: not by its alias, as udev does it at boot, but by its own name still;
            ``install``: a command is run in its place, however it is asked for.
        module: The module's name, for ``install`` a pattern (fnmatch(3)).
    """

    file: str
    text: str
    verb: str
    module: str

    def concerns(self, module: str) -> bool:
        """Whether the line is about a module."""
        return fnmatchcase(module, self.module) if self.verb == "install" else module == self.module

    def loads(self) -> bool:
        """Whether the command of an ``install`` line loads a module after all, as far as its words tell."""
        command = self.text.split(None, 2)[-1].partition(" #")[0]
        return self.verb == "install" and ("modprobe" in command or "insmod" in command)


def effective_files(listing: Mapping[str, Iterable[str]]) -> list[str]:
    """Returns the paths that modprobe reads, in its order.

    Args:
        listing: Directory to the names in it, directories in modprobe's order.
    """
    chosen: dict[str, str] = {}
    for directory, names in listing.items():
        for name in names:
            if name.endswith(".conf") and not name.startswith("."):
                chosen.setdefault(name, f"{directory}/{name}")
    return [chosen[name] for name in sorted(chosen)]


def rules(file: str, text: str) -> list[Rule]:
    """Returns the lines of a file that are about loading modules, as kmod reads them (libkmod-config.c)."""
    found: list[Rule] = []
    for line in _lines(text):
        words = [word for word in re.split("[ \t]", line) if word]
        verb = words[0] if words else ""
        if len(words) >= {"blacklist": 2, "install": 3}.get(verb, len(words) + 1):
            found.append(Rule(file, " ".join(words), verb, normal(words[1])))
    return found


def forbidding(every: Iterable[Rule], module: str, needs: Iterable[str]) -> Rule | None:
    """Returns the line that keeps a module from being loaded, None where no line does.

    Args:
        every: The lines of all files, in modprobe's order.
        module: The module's name.
        needs: Modules that it needs: a blacklist does not concern them, a command in their place does
            (libkmod-module.c, kmod_module_probe_insert_module).
    """
    every = list(every)
    for name in (module, *needs):
        first = next((rule for rule in every if rule.verb == "install" and rule.concerns(name)), None)
        if first is not None and not first.loads():
            return first
    return next((rule for rule in every if rule.verb == "blacklist" and rule.concerns(module)), None)


def _lines(text: str) -> list[str]:
    """Returns lines as kmod reads them (shared/util.c, freadline_wrapped).

    A backslash joins a line with the next one, and is itself dropped before anything else.
    """
    return re.sub(r"\\(.?)", lambda escaped: escaped[1].strip("\n"), text, flags=re.DOTALL).split("\n")
