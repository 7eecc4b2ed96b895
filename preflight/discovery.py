"""Finds the checks: every entry point of the group ``vm_preflight.checks``, and executables of a directory.

In stages: find the entry points, ours and those of plugins alike, load each, look at what came. One that
cannot be used does not cost the others: a check of its name stands in its place, blocks, and says who is to
blame.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module
from itertools import islice
from typing import NamedTuple

from preflight import distributions
from preflight.check import Check
from preflight.declaration import fault_of
from preflight.distributions import EntryPoint
from preflight.ordering import misconfigured, order, unused_name
from preflight.outcomes import BAD_CONFIGURATION
from preflight.report import MAX_RESULTS, NAME
from preflight.version import DISTRIBUTION

GROUP = "vm_preflight.checks"

RENAME = 'give it another one in the TOML file beside it: name = "…"'
"""What to do about an executable whose name is taken."""

_REFERENCE = re.compile(r"(?P<module>[\w.]+)\s*:\s*(?P<attribute>[\w.]+)\s*(\[.*\])?")
"""An object reference; what stands in brackets are extras, which loading does not need."""


class Found(NamedTuple):
    """A check that was found.

    Attributes:
        check: The check, or one that says why it cannot be used.
        owner: The distribution that declares it, or the file that it is.
        declaration: Who declares what, for a message.
        value: What was declared: a reference, or a file.
        rename: How it is given another name; by default, by its authors.
    """

    check: Check
    owner: str
    declaration: str
    value: str
    rename: str | None = None


def discover(path: Sequence[str] | None = None, *, plugin_dir: str | None = None) -> tuple[Check, ...]:
    """Returns the checks that there are, in the order of a report.

    Our own distribution's come first, then those of others, then executables: one that declares the name of
    an earlier one does not replace it.

    Args:
        path: Where distributions are, by default ``sys.path``.
        plugin_dir: Directory with executable checks, None where there is none.

    Raises:
        preflight.toml_file.ConfigError: That directory cannot be used; one line.
    """
    points = distributions.entry_points(GROUP, path)
    points.sort(key=lambda point: (point.distribution != DISTRIBUTION, point.distribution, point.name))
    found = [Found(classify(point), point.distribution, point.declaration, point.value) for point in points]
    if plugin_dir is not None:
        # Imported here: most hosts have no such directory.
        from preflight import plugin_directory

        for check, file in plugin_directory.find(plugin_dir):
            found.append(
                Found(check, os.path.basename(file), f"{file} calls itself {check.name}", file, RENAME)
            )
    named = _limited(_named(found))
    return order(
        (one.check for one in named.values()), {name: one.declaration for name, one in named.items()}
    )


def _named(found: Iterable[Found]) -> dict[str, Found]:
    """Gives each check a name of its own, and drops those that are there twice."""
    named: dict[str, Found] = {}
    for one in found:
        name = one.check.name
        first = named.get(name)
        if first is not None and first.value == one.value:
            continue
        if first is not None:
            name = unused_name(f"{name} {one.owner}", named)
            problem = f"{one.declaration}, and {first.owner} has a check of that name"
            unusable = one.check.outcomes == (BAD_CONFIGURATION,)  # its own problem is the one to be told
            check = (
                one.check._replace(name=name) if unusable else misconfigured(name, problem, hint=one.rename)
            )
            one = one._replace(check=check)
        named[name] = one
    return named


def _limited(named: dict[str, Found]) -> dict[str, Found]:
    """Keeps as many checks as a report can hold, and has one more say so."""
    if len(named) <= MAX_RESULTS:
        return named
    kept = dict(islice(named.items(), MAX_RESULTS - 1))
    name = unused_name("TooManyChecks", kept)
    left_out = [other for other in named if other not in kept]
    some = ", ".join(left_out[:8]) + (", …" if len(left_out) > 8 else "")
    problem = f"{len(named)} checks were found, and a report holds {MAX_RESULTS}: not asked are {some}"
    check = misconfigured(name, problem, hint="take checks away: vm-preflight checks list")
    return {**kept, name: Found(check, name, name, name)}


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
    name = point.name if NAME.fullmatch(point.name) else unused_name(point.name, ())
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
