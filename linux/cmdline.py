"""Parses ``/proc/cmdline`` (kernel: Documentation/admin-guide/kernel-parameters.rst)."""

from typing import NamedTuple


class CommandLine(NamedTuple):
    """The kernel's parameters.

    Attributes:
        values: Parameter name, with ``_`` for ``-`` (the kernel takes both alike), to its values in order; a
            parameter without ``=`` has the empty value.
    """

    values: dict[str, list[str]]

    def last(self, name: str) -> str | None:
        """Returns the value that came last, None where the parameter is not given."""
        given = self.values.get(normal(name))
        return given[-1] if given else None

    def listed(self, name: str) -> list[str]:
        """Returns every comma-separated word of every value, with ``_`` for ``-``."""
        return [
            normal(word) for value in self.values.get(normal(name), ()) for word in value.split(",") if word
        ]


def normal(name: str) -> str:
    """Spells a parameter's or module's name with ``_``, as the kernel compares it."""
    return name.replace("-", "_")


def parse(text: str) -> CommandLine:
    """Parses the line; a value in double quotes may hold spaces; what follows ``--`` is for init."""
    values: dict[str, list[str]] = {}
    for word in _words(text):
        if word == "--":
            break
        name, _, value = word.partition("=")
        values.setdefault(normal(name), []).append(value)
    return CommandLine(values)


def _words(text: str) -> list[str]:
    parts = text.split('"')
    # The odd ones stood in quotes; no kernel parameter holds a NUL.
    parts[1::2] = ["\0".join(part.split(" ")) for part in parts[1::2]]
    return [word.replace("\0", " ") for word in "".join(parts).split()]
