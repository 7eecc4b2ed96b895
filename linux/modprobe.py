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
            ``install``: a command is run in its place, however it is asked for; ``softdep``: others first.
        module: The module's name, but for ``blacklist`` a pattern (fnmatch(3)).
    """

    file: str
    text: str
    verb: str
    module: str

    def concerns(self, module: str) -> bool:
        """Whether the line is about a module."""
        return module == self.module if self.verb == "blacklist" else fnmatchcase(module, self.module)

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


_WORDS = {"blacklist": 2, "install": 3, "softdep": 3}
"""What a line is about, to the words that it needs at least."""


def rules(file: str, text: str) -> list[Rule]:
    """Returns the lines of a file that are about loading modules, as kmod reads them (libkmod-config.c)."""
    found: list[Rule] = []
    for line in _lines(text):
        words = [word for word in re.split("[ \t]", line) if word]
        verb = words[0] if words else ""
        if verb in _WORDS and len(words) >= _WORDS[verb] and (module := _spelled(words[1])) is not None:
            found.append(Rule(file, " ".join(words), verb, module))
    return found


def forbidding(every: Iterable[Rule], module: str, needs: Iterable[str]) -> Rule | None:
    """Returns the line that keeps a module from being loaded, None where no line does.

    Args:
        every: The lines of all files, in modprobe's order.
        module: The module's name.
        needs: Modules that it needs: a blacklist does not concern them, a command in their place does
            (kmod: libkmod-module.c, kmod_module_probe_insert_module).
    """
    every = list(every)
    for name in (module, *needs):
        first = _first(every, "install", name)
        # A module with soft dependencies is loaded without its command (…, __kmod_module_fill_softdep).
        if first is not None and not first.loads() and not _names_others(_first(every, "softdep", name)):
            return first
    return _first(every, "blacklist", module)


def _first(every: Iterable[Rule], verb: str, module: str) -> Rule | None:
    return next((rule for rule in every if rule.verb == verb and rule.concerns(module)), None)


def _names_others(rule: Rule | None) -> bool:
    """Whether a ``softdep`` line names a module to load before or after, as far as its words tell."""
    named = rule.text.split()[2:] if rule is not None else []
    return any(word not in ("pre:", "post:") for word in named) and bool({"pre:", "post:"} & set(named))


def _spelled(pattern: str) -> str | None:
    """Spells a name with ``_`` but in brackets; None where one is not closed: kmod skips such a line."""
    parts = re.split(r"(\[[^\]]*\])", pattern)
    if any("[" in part or "]" in part for part in parts[::2]):
        return None
    parts[::2] = map(normal, parts[::2])
    return "".join(parts)


def _lines(text: str) -> list[str]:
    """Returns lines as kmod reads them (shared/util.c, freadline_wrapped).

    A backslash joins a line with the next one, and is itself dropped before anything else.
    """
    return re.sub(r"\\(.?)", lambda escaped: escaped[1].strip("\n"), text, flags=re.DOTALL).split("\n")
