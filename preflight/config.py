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
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from preflight.check import Check, Setting, Threshold, Weight
from preflight.toml_file import ConfigError, TomlFile, read

__all__ = ["Config", "ConfigError", "load", "parse"]


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
    return parse(read(path), checks, path)


def parse(data: bytes, checks: Iterable[Check], name: str) -> Config:
    """Reads a configuration.

    Args:
        data: TOML, UTF-8.
        checks: The checks that can be named.
        name: The file's name, for messages.

    Raises:
        ConfigError: It says something that cannot be.
    """
    return _Reader(data, name, checks).config()


class _Reader(TomlFile):
    def __init__(self, data: bytes, name: str, checks: Iterable[Check]) -> None:
        super().__init__(data, name)
        self._checks = {check.name: check for check in checks}

    def config(self) -> Config:
        document = self.document
        self.known(document, ("run", "checks"))
        run = self.table(document.get("run", {}), "run")
        self.known(run, ("only", "ignore", "timeout"), "run")
        weights: dict[str, Weight] = {}
        timeouts: dict[str, float] = {}
        settings: dict[str, dict[str, Threshold]] = {}
        for name, value in self.table(document.get("checks", {}), "checks").items():
            where = f"checks.{name}"
            if name not in self._checks:
                raise self.error(where, f"no such check (there are {', '.join(sorted(self._checks))})")
            declared = {setting.name: setting for setting in self._checks[name].settings}
            table = self.table(value, where)
            self.known(table, ("weight", "timeout", *declared), where)
            if "weight" in table:
                weights[name] = self.weight(table["weight"], f"{where}.weight")
            if "timeout" in table:
                timeouts[name] = self.seconds(table["timeout"], f"{where}.timeout")
            settings[name] = {
                key: self._threshold(table[key], declared[key], f"{where}.{key}")
                for key in declared
                if key in table
            }
        return Config(
            only=self._names(run.get("only", []), "run.only"),
            ignore=self._names(run.get("ignore", []), "run.ignore"),
            timeout=self.seconds(run["timeout"], "run.timeout") if "timeout" in run else None,
            weights=weights,
            timeouts=timeouts,
            settings=settings,
        )

    def _names(self, value: object, key: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self.error(key, "not a list of names of checks")
        names: list[str] = []
        for name in value:
            if not isinstance(name, str) or name not in self._checks:
                raise self.error(
                    key, f"{name!r}: no such check (there are {', '.join(sorted(self._checks))})"
                )
            if name in names:
                raise self.error(key, f"{name} stands there twice")
            names.append(name)
        return tuple(names)

    def _threshold(self, value: object, setting: Setting, key: str) -> Threshold:
        if isinstance(setting.default, str):
            text = self.text(value, key)
            if setting.pattern is not None and not re.fullmatch(setting.pattern, text):
                raise self.error(key, f"{text[:80]!r} does not match {setting.pattern}")
            return text
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, "not a whole number")
        if setting.minimum is not None and value < setting.minimum:
            raise self.error(key, f"less than {setting.minimum}")
        return value
