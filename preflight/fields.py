"""Typed access to a mapping that somebody else sent: every field is checked, every error names its field.

Pure. Nothing that is read here is trusted: types, words of closed lists and sizes are checked before use.
"""

import re
from enum import StrEnum
from typing import TypeVar

from preflight.result import MAX_TEXT, one_line

Word = TypeVar("Word", bound=StrEnum)


class FieldError(ValueError):
    """A field is missing, or does not hold what it should; the message is one line and names it."""


class Fields:
    """An object of JSON, read field by field."""

    def __init__(self, value: object, where: str = "") -> None:
        """Takes an object that stands at ``where`` (``results[3]``) in what was sent.

        Raises:
            FieldError: It is no object.
        """
        self._where = where
        if not isinstance(value, dict):
            raise FieldError(f"{where or 'what was sent'}: {_kind(value)} in place of an object")
        self._value: dict[object, object] = value

    def error(self, key: str, problem: str) -> FieldError:
        """Makes an error that names a field."""
        return FieldError(f"{self.path(key)}: {problem}")

    def path(self, key: str) -> str:
        """Returns a field's full name."""
        return f"{self._where}.{key}" if self._where else key

    def has(self, key: str) -> bool:
        """Whether a field is there."""
        return key in self._value

    def value(self, key: str) -> object:
        """Returns whatever a field holds, for a reader of its own.

        Raises:
            FieldError: It is missing.
        """
        return self._get(key)

    def text(self, key: str, limit: int = MAX_TEXT, *, pattern: re.Pattern[str] | None = None) -> str:
        """Returns a string: one printable line of at most ``limit`` characters.

        Raises:
            FieldError: It is not, or does not match ``pattern`` as a whole.
        """
        value = self._get(key)
        if not isinstance(value, str):
            raise self.error(key, f"{_kind(value)} in place of a string")
        if len(value) > limit:
            raise self.error(key, f"{len(value)} characters, more than {limit}")
        if one_line(value, limit) != value:
            raise self.error(key, "not one line of printable text")
        if pattern is not None and not pattern.fullmatch(value):
            raise self.error(key, f"{value[:80]!r} does not match {pattern.pattern}")
        return value

    def flag(self, key: str) -> bool:
        """Returns a boolean.

        Raises:
            FieldError: It is none.
        """
        value = self._get(key)
        if not isinstance(value, bool):
            raise self.error(key, f"{_kind(value)} in place of a boolean")
        return value

    def number(self, key: str, *, minimum: float, maximum: float) -> float:
        """Returns a finite number within bounds.

        Raises:
            FieldError: It is none.
        """
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"{_kind(value)} in place of a number")
        if not minimum <= value <= maximum:  # also refuses NaN and infinities
            raise self.error(key, f"not a number from {minimum:g} to {maximum:g}")
        return float(value)

    def integer(self, key: str, *, minimum: int, maximum: int) -> int:
        """Returns a whole number within bounds.

        Raises:
            FieldError: It is none.
        """
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"{_kind(value)} in place of a whole number")
        if not minimum <= value <= maximum:
            raise self.error(key, f"not a whole number from {minimum} to {maximum}")
        return value

    def word(self, key: str, words: type[Word]) -> Word:
        """Returns a word of a closed list.

        Raises:
            FieldError: It is not in the list.
        """
        value = self.text(key)
        for word in words:
            if word.value == value:
                return word
        raise self.error(key, f"{value[:80]!r} is none of {', '.join(word.value for word in words)}")

    def sequence(self, key: str, limit: int) -> list[object]:
        """Returns a list of at most ``limit`` items.

        Raises:
            FieldError: It is none, or longer.
        """
        value = self._get(key)
        if not isinstance(value, list):
            raise self.error(key, f"{_kind(value)} in place of a list")
        if len(value) > limit:
            raise self.error(key, f"{len(value)} items, more than {limit}")
        return value

    def texts(self, key: str, limit: int, *, key_limit: int) -> dict[str, str]:
        """Returns an object that maps strings to strings, with at most ``limit`` entries.

        Raises:
            FieldError: It is none.
        """
        inner = Fields(self._get(key), self.path(key))
        names = list(inner._value)
        if len(names) > limit:
            raise self.error(key, f"{len(names)} entries, more than {limit}")
        texts = {}
        for name in names:
            if not isinstance(name, str) or one_line(name, key_limit) != name:
                raise self.error(key, "a key that is no short line of printable text")
            texts[name] = inner.text(name)
        return texts

    def _get(self, key: str) -> object:
        if key not in self._value:
            raise self.error(key, "missing")
        return self._value[key]


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
