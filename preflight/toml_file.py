"""A file of TOML that somebody wrote by hand: a complaint is one line with file, key and what is allowed.

Strict: a key that nobody knows is an error, because a misspelt threshold would be no threshold.
"""

from collections.abc import Mapping, Sequence

from preflight.check import Weight
from preflight.result import MAX_SECONDS, one_line

MAX_SIZE = 1 << 20
"""Bytes of such a file."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one line that names the file and the key."""


def read(path: str) -> bytes:
    """Returns what a file holds.

    Raises:
        ConfigError: It cannot be read, or is too large.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(one_line(f"{path}: {reason}")) from None
    if len(data) > MAX_SIZE:
        raise ConfigError(one_line(f"{path}: larger than {MAX_SIZE} bytes"))
    return data


class TomlFile:
    """What such a file says, value by value."""

    def __init__(self, data: bytes, name: str) -> None:
        """Takes the bytes of a file that messages call ``name``.

        Raises:
            ConfigError: They are no TOML in UTF-8.
        """
        import tomllib

        self._name = name
        try:
            self.document: Mapping[str, object] = tomllib.loads(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ConfigError(one_line(f"{name}: not UTF-8 at byte {error.start}")) from None
        except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
            raise ConfigError(one_line(f"{name}: not TOML: {error}")) from None

    def error(self, key: str, problem: str) -> ConfigError:
        """Makes a complaint about a key, which is given in full (``checks.Memory.timeout``)."""
        return ConfigError(one_line(f"{self._name}: {key}: {problem}"))

    def known(self, table: Mapping[str, object], known: Sequence[str], where: str = "") -> None:
        """Takes a table that has no other keys than those that are known.

        Raises:
            ConfigError: It has.
        """
        for key in table:
            if key not in known:
                raise self.error(f"{where}.{key}".lstrip("."), f"unknown key (known: {', '.join(known)})")

    def table(self, value: object, key: str) -> Mapping[str, object]:
        """Takes a table.

        Raises:
            ConfigError: It is none.
        """
        if not isinstance(value, dict):
            raise self.error(key, "not a table")
        return value

    def text(self, value: object, key: str) -> str:
        """Takes a string.

        Raises:
            ConfigError: It is none.
        """
        if not isinstance(value, str):
            raise self.error(key, "not a string")
        return value

    def seconds(self, value: object, key: str) -> float:
        """Takes a time in seconds.

        Raises:
            ConfigError: It is none, or too long.
        """
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, "not a number of seconds")
        if not 0 < value <= MAX_SECONDS:  # also refuses NaN and infinities
            raise self.error(key, f"not a time from 0 to {MAX_SECONDS:g} seconds")
        return float(value)

    def weight(self, value: object, key: str) -> Weight:
        """Takes a weight.

        Raises:
            ConfigError: It is none.
        """
        for weight in Weight:
            if weight.value == value:
                return weight
        raise self.error(key, f"none of {', '.join(Weight)}")
