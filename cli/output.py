"""Standard output: takes every character, and what machines read is UTF-8, whatever the locale says."""

import os
import sys
from io import TextIOWrapper


def prepare() -> None:
    """Makes standard output take every character; one that is closed goes nowhere.

    Its number must be taken: the next file that is opened would else be written to by whoever prints.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- until the end
    _configure(errors="backslashreplace")


def as_utf8() -> None:
    """Has what follows encoded as UTF-8: JSON (RFC 8259, 8.1), YAML, and the XML that says so of itself."""
    _configure(encoding="utf-8")


def _configure(*, encoding: str | None = None, errors: str | None = None) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding=encoding, errors=errors)
