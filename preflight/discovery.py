"""Finds the checks: every entry point of the group ``vm_preflight.checks``, ours and those of plugins alike.

In stages: find the entry points, load each, look at what came. One that cannot be used does not cost the
others: a check of its name stands in its place, blocks, and says which distribution is to blame.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module

from preflight import distributions
from preflight.check import Check
from preflight.declaration import fault_of
from preflight.distributions import EntryPoint
from preflight.ordering import misconfigured, order
from preflight.report import NAME
from preflight.version import DISTRIBUTION

GROUP = "vm_preflight.checks"

_REFERENCE = re.compile(r"(?P<module>[\w.]+)\s*:\s*(?P<attribute>[\w.]+)\s*(\[.*\])?")
"""An object reference; what stands in brackets are extras, which loading does not need."""


def discover(path: Sequence[str] | None = None) -> tuple[Check, ...]:
    """Returns the checks of all distributions on ``path`` (by default ``sys.path``) in the order of a report.

    Our own distribution's come first: another one that declares the same name does not replace ours.
    """
    points = distributions.entry_points(GROUP, path)
    points.sort(key=lambda point: (point.distribution != DISTRIBUTION, point.distribution, point.name))
    taken: dict[str, EntryPoint] = {}
    checks = []
    for point in points:
        check = classify(point)
        first = taken.setdefault(check.name, point)
        if first is not point:
            if first.value == point.value:
                continue
            check = misconfigured(
                unused_name(f"{check.name} {point.distribution}", taken),
                f"{point.declaration}, and {first.distribution} has a check of that name",
            )
            taken[check.name] = point
        checks.append(check)
    return order(checks, {name: point.declaration for name, point in taken.items()})


def classify(point: EntryPoint) -> Check:
    """Loads an entry point and returns its check, or one that says why it cannot be used."""
    try:
        loaded = load(point.value)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- a plugin's import can raise anything
        problem = f"{type(error).__name__}: {error}"
    else:
        if not isinstance(loaded, Check):
            problem = f"{type(loaded).__name__} is no check"
        elif (fault := fault_of(loaded)) is not None:
            problem = fault
        elif loaded.name != point.name:
            problem = f"the check there calls itself {loaded.name}"
        else:
            return loaded
    name = point.name if NAME.fullmatch(point.name) else unused_name(point.name, {})
    return misconfigured(name, f"{point.declaration}: {problem}")


def load(reference: str) -> object:
    """Imports the object that a reference ``module:attribute`` names.

    What the module prints meanwhile goes to standard error: standard output is the report's.

    Raises:
        ValueError: It is no reference.
        Exception: Whatever the import raises.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError("not of the form module:attribute")
    with _standard_output_kept():
        found: object = import_module(match["module"])
        for attribute in match["attribute"].split("."):
            found = getattr(found, attribute)
    return found


@contextmanager
def _standard_output_kept() -> Iterator[None]:
    """Has everything that is printed go to standard error, what is written past `sys.stdout` too."""
    try:
        kept = os.dup(1)
    except OSError:  # it is closed: nothing of ours can go there either
        yield
        return
    try:
        with suppress(OSError):  # standard error is closed
            os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def unused_name(text: str, taken: dict[str, EntryPoint]) -> str:
    """Makes a CamelCase name of any text, other than those that are taken."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[:1].upper() + word[1:] for word in words)[:60]
    if not NAME.fullmatch(name):
        name = f"Plugin{name}"[:60]
    number = 2
    unique = name
    while unique in taken:
        unique = f"{name}{number}"
        number += 1
    return unique
