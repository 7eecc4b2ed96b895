"""The executable checks of a plugin directory, each with what the TOML file beside it says.

``disk-health`` (or ``disk-health.sh``) is a check; ``disk-health.toml`` gives its name, weight, time-out,
question and hint, all optional. What is executable, or has such a file, is meant to be a check: where it
cannot be one, one stands in the report that says why. Everything else that lies there is left alone.
"""

import os
import shlex
import stat
from collections.abc import Iterator

from preflight import trust
from preflight.check import BLOCKING, Check
from preflight.executable import executable
from preflight.ordering import misconfigured, unused_name
from preflight.report import NAME
from preflight.result import one_line
from preflight.toml_file import ConfigError, TomlFile, read
from preflight.trust import Fault

TIMEOUT = 5.0
"""Seconds that an executable may take where nothing else is said."""

SUFFIX = ".toml"

KEYS = ("name", "weight", "timeout", "question", "hint")

_LEFTOVERS = (
    "~",
    ".bak",
    ".orig",
    ".old",
    ".rej",
    ".save",
    ".swp",
    ".tmp",
    ".rpmnew",
    ".rpmorig",
    ".rpmsave",
)
"""Ends of names that editors, patch and package managers leave; run-parts(8) passes over such files too."""

_CONFIGURATION = ("run", "checks")
"""Tables of the configuration file, which may lie in the same directory."""


def find(directory: str) -> Iterator[tuple[Check, str]]:
    """Yields the checks of a directory, each with its file, sorted by the file's name.

    Of a directory that others can write to none is taken: one check says so.

    Raises:
        ConfigError: The directory cannot be listed.
    """
    directory = os.path.abspath(directory)
    try:
        names = sorted(name for name in os.listdir(directory) if not _is_leftover(name))
        fault = trust.fault_of_directory(directory)
    except OSError as error:
        raise ConfigError(one_line(f"plugin directory {directory}: {error.strerror}")) from None
    if fault is not None:
        yield misconfigured("PluginDirectory", fault.problem, hint=fault.hint), directory
        return
    declarations = {name for name in names if name.endswith(SUFFIX)}
    claimed = set()
    for name in names:
        if name not in declarations:
            stem = os.path.splitext(name)[0]
            own = next((one for one in (name + SUFFIX, stem + SUFFIX) if one in declarations), None)
            claimed.add(own)
            path = os.path.join(directory, name)
            check = _usable(path, stem, own and os.path.join(directory, own))
            if check is not None:
                yield check, path
    for name in sorted(declarations - claimed):
        path, stem = os.path.join(directory, name), name.removesuffix(SUFFIX)
        if not _is_configuration(path):
            problem = f"{path} declares a check, and no {stem} is beside it"
            hint = f"ls -lL {shlex.quote(directory)}"
            yield misconfigured(unused_name(stem, ()), problem, hint=hint), path


def _usable(path: str, stem: str, declaration: str | None) -> Check | None:
    """Makes a check of a file, or one that says why not; None where nothing says that it should be one."""
    quoted = shlex.quote(path)
    found: Check | Fault
    try:
        if not _is_executable(path):
            if declaration is None:
                return None
            found = Fault(
                f"{path} is no executable file, and {declaration} declares it", f"chmod +x {quoted}"
            )
        else:
            found = trust.fault_of_file(path) or _declared(path, stem, declaration)
    except OSError as error:
        found = Fault(f"{path}: {error.strerror}", f"ls -lL {quoted}")
    except ConfigError as error:
        listed = f"vm-preflight checks list --plugin-dir {shlex.quote(os.path.dirname(path))}"
        found = Fault(str(error), f"vi {shlex.quote(declaration or path)}; {listed}")
    if isinstance(found, Check):
        return found
    return misconfigured(unused_name(stem, ()), found.problem, hint=found.hint)


def _declared(path: str, stem: str, declaration: str | None) -> Check | Fault:
    """Makes a check of an executable, as its TOML file says.

    Raises:
        ConfigError: It says something that cannot be.
        OSError: It cannot be looked at.
    """
    if declaration is None:
        file = TomlFile(b"", path)
    elif (fault := trust.fault_of_file(declaration)) is not None:
        return fault
    else:
        file = _read(declaration)
    said = file.document
    file.known(said, KEYS)
    name = file.text(said.get("name", unused_name(stem, ())), "name")
    if not NAME.fullmatch(name):
        raise file.error("name", f"{name[:80]!r} is no CamelCase word of at most 63 characters")
    question = one_line(file.text(said.get("question", ""), "question"))
    hint = one_line(file.text(said.get("hint", ""), "hint"))
    return executable(
        path,
        name=name,
        weight=file.weight(said.get("weight", BLOCKING.value), "weight"),
        timeout=file.seconds(said.get("timeout", TIMEOUT), "timeout"),
        question=question or f"What does {os.path.basename(path)} say?",
        hint=hint or None,
    )


def _read(path: str) -> TomlFile:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ConfigError(one_line(f"{path}: no file"))
    return TomlFile(read(path), path)


def _is_executable(path: str) -> bool:
    """Whether an executable file is there.

    Raises:
        OSError: It is a link to nothing, or we may not look.
    """
    status = os.stat(path)
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o111)


def _is_configuration(path: str) -> bool:
    """Whether a TOML file says what runs and how, and declares no check."""
    try:
        return any(table in _read(path).document for table in _CONFIGURATION)
    except (ConfigError, OSError):
        return False


def _is_leftover(name: str) -> bool:
    return name.startswith((".", "#")) or name.endswith(_LEFTOVERS) or ".dpkg-" in name
