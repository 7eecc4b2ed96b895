"""The configuration file: which checks run, with which weight, time-out and thresholds.

TOML::

    [run]
    only = ["KVM", "Tun"]
    ignore = ["VhostNet"]
    timeout = 30

    [checks.Memory]
    weight = "advisory"
    timeout = 2.5
    minimum_bytes = 4_294_967_296

Strict: a key that nobody knows is an error, because a misspelt threshold would be no threshold.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from preflight.check import Check, Setting, Threshold, Weight
from preflight.result import MAX_SECONDS, one_line

MAX_SIZE = 1 << 20
"""Bytes of a configuration file."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one line that names the file and the key."""


class Config(NamedTuple):
    """What a configuration file says; without one, nothing.

    Attributes:
        only: Checks to run and report, empty for all.
        ignore: Checks that are shown as Warn at most.
        timeout: Seconds for the whole run, None without a limit of its own.
        weights: Weight by name of check.
        timeouts: Seconds by name of check.
        settings: Thresholds by name of check.
    """

    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    timeout: float | None = None
    weights: Mapping[str, Weight] = MappingProxyType({})
    timeouts: Mapping[str, float] = MappingProxyType({})
    settings: Mapping[str, Mapping[str, Threshold]] = MappingProxyType({})

    def weight(self, check: Check) -> Weight:
        """Returns the weight in force for a check."""
        return self.weights.get(check.name, check.weight)

    def seconds(self, check: Check) -> float:
        """Returns the time-out in force for a check."""
        return self.timeouts.get(check.name, check.timeout)

    def thresholds(self, check: Check) -> dict[str, Threshold]:
        """Returns a check's settings, defaults filled in."""
        defaults = {setting.name: setting.default for setting in check.settings}
        return defaults | dict(self.settings.get(check.name, {}))


def load(path: str | None, checks: Iterable[Check]) -> Config:
    """Reads a configuration file, or nothing where ``path`` is None.

    Raises:
        ConfigError: The file cannot be read, or says something that cannot be.
    """
    if path is None:
        return Config()
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(one_line(f"{path}: {reason}")) from None
    if len(data) > MAX_SIZE:
        raise ConfigError(f"{path}: larger than {MAX_SIZE} bytes")
    return parse(data, checks, path)


def parse(data: bytes, checks: Iterable[Check], name: str) -> Config:
    """Reads a configuration.

    Args:
        data: TOML, UTF-8.
        checks: The checks that can be named.
        name: The file's name, for messages.

    Raises:
        ConfigError: It says something that cannot be.
    """
    import tomllib

    try:
        document = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 at byte {error.start}") from None
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise ConfigError(one_line(f"{name}: not TOML: {error}")) from None
    return _Reader(name, checks).config(document)


class _Reader:
    def __init__(self, file: str, checks: Iterable[Check]) -> None:
        self._file = file
        self._checks = {check.name: check for check in checks}

    def config(self, document: Mapping[str, object]) -> Config:
        self._known(document, ("run", "checks"), "")
        run = self._table(document.get("run", {}), "run")
        self._known(run, ("only", "ignore", "timeout"), "run")
        weights: dict[str, Weight] = {}
        timeouts: dict[str, float] = {}
        settings: dict[str, dict[str, Threshold]] = {}
        for name, value in self._table(document.get("checks", {}), "checks").items():
            where = f"checks.{name}"
            if name not in self._checks:
                raise self._error(where, f"no such check (there are {', '.join(sorted(self._checks))})")
            declared = {setting.name: setting for setting in self._checks[name].settings}
            table = self._table(value, where)
            self._known(table, ("weight", "timeout", *declared), where)
            if "weight" in table:
                weights[name] = self._weight(table["weight"], f"{where}.weight")
            if "timeout" in table:
                timeouts[name] = self._seconds(table["timeout"], f"{where}.timeout")
            settings[name] = {
                key: self._threshold(table[key], declared[key], f"{where}.{key}")
                for key in declared
                if key in table
            }
        return Config(
            only=self._names(run.get("only", []), "run.only"),
            ignore=self._names(run.get("ignore", []), "run.ignore"),
            timeout=self._seconds(run["timeout"], "run.timeout") if "timeout" in run else None,
            weights=weights,
            timeouts=timeouts,
            settings=settings,
        )

    def _error(self, key: str, problem: str) -> ConfigError:
        return ConfigError(one_line(f"{self._file}: {key}: {problem}"))

    def _known(self, table: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in known:
                raise self._error(f"{where}.{key}".lstrip("."), f"unknown key (known: {', '.join(known)})")

    def _table(self, value: object, key: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self._error(key, "not a table")
        return value

    def _names(self, value: object, key: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self._error(key, "not a list of names of checks")
        names: list[str] = []
        for name in value:
            if not isinstance(name, str) or name not in self._checks:
                raise self._error(
                    key, f"{name!r}: no such check (there are {', '.join(sorted(self._checks))})"
                )
            if name in names:
                raise self._error(key, f"{name} stands there twice")
            names.append(name)
        return tuple(names)

    def _seconds(self, value: object, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(key, "not a number of seconds")
        if not 0 < value <= MAX_SECONDS:  # also refuses NaN and infinities
            raise self._error(key, f"not a time from 0 to {MAX_SECONDS:g} seconds")
        return float(value)

    def _weight(self, value: object, key: str) -> Weight:
        for weight in Weight:
            if weight.value == value:
                return weight
        raise self._error(key, f"none of {', '.join(Weight)}")

    def _threshold(self, value: object, setting: Setting, key: str) -> Threshold:
        if isinstance(setting.default, str):
            if not isinstance(value, str):
                raise self._error(key, "not a string")
            if setting.pattern is not None and not re.fullmatch(setting.pattern, value):
                raise self._error(key, f"{value[:80]!r} does not match {setting.pattern}")
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._error(key, "not a whole number")
        if setting.minimum is not None and value < setting.minimum:
            raise self._error(key, f"less than {setting.minimum}")
        return value
