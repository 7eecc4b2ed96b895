"""Parses ``/proc/cmdline`` (kernel: Documentation/admin-guide/kernel-parameters.rst)."""

import re
from typing import NamedTuple

_WORD = re.compile(r'(?:[^" \t\n\v\f\r]+|"[^"]*(?:"|\Z))+')
"""White space in double quotes does not end a word; a quote that nobody closes lasts to the end."""


class CommandLine(NamedTuple):
    """The kernel's parameters.

    Attributes:
        values: Parameter name, with ``_`` for ``-`` (the kernel takes both alike), to its values in order; a
            parameter without ``=`` has the empty value.
        beyond: The same of what follows ``--``; the kernel leaves it to init, but modprobe reads it too.
    """

    values: dict[str, list[str]]
    beyond: dict[str, list[str]] = {}  # noqa: RUF012 - never changed

    def last(self, name: str) -> str | None:
        """Returns the value that came last, None where the parameter is not given."""
        given = self.values.get(normal(name))
        return given[-1] if given else None

    def is_set(self, name: str) -> bool:
        """Whether a boolean parameter is given and not taken back (kernel: lib/kstrtox.c, kstrtobool)."""
        value = self.last(name)
        return value is not None and value[:1].lower() not in ("0", "n", "f") and value[:2].lower() != "of"

    def listed(self, name: str) -> list[str]:
        """Returns every comma-separated word of every value, as it is written: the kernel compares it so."""
        return [word for value in self.values.get(normal(name), ()) for word in value.split(",") if word]

    def anywhere(self, name: str) -> list[str]:
        """Returns every value, those that follow ``--`` too."""
        return [*self.values.get(normal(name), ()), *self.beyond.get(normal(name), ())]


def normal(name: str) -> str:
    """Spells a parameter's or module's name with ``_``, as the kernel compares it."""
    return name.replace("-", "_")


def parse(text: str) -> CommandLine:
    """Parses the line as the kernel does (lib/cmdline.c, next_arg); what follows ``--`` is for init."""
    values: dict[str, list[str]] = {}
    beyond: dict[str, list[str]] = {}
    into = values
    for word in _WORD.findall(text):
        name, value = _parameter(word)
        if name == "--" and value is None:
            into = beyond
        else:
            into.setdefault(normal(name), []).append(value or "")
    return CommandLine(values, beyond)


def _parameter(word: str) -> tuple[str, str | None]:
    """Takes a word apart; quotes are taken off around the whole and around the value, nowhere else."""
    quoted = word.startswith('"')
    word = word[quoted:]
    equals = word.find("=", 1)
    if equals < 0:
        return (word.removesuffix('"') if quoted else word), None
    name, value = word[:equals], word[equals + 1 :]
    if value.startswith('"'):
        return name, value[1:].removesuffix('"')
    return name, value.removesuffix('"') if quoted else value
