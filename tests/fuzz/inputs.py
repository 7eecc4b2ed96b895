"""What a target is made of, and how bytes become the values that it takes."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

CORPUS = Path(__file__).parent / "corpus"
"""A directory for each target: inputs that once failed, and inputs that reach much of the code."""

MAX_INPUT = 1 << 12
"""Bytes of an input; how time grows with more of them is the test suite's to ask."""

STRANGE = (
    b"\0 \n \r \r\n \t \v \f \x1b[31m \x1b]0;x\x07 \\ \\\n".split(b" ")
    + b"\" ' # = : ; , . / - _ @ [ ] { } < > & % 0 1 -1".split(b" ")
    + [str(number).encode() for number in (2**31, 2**32 - 1, 2**63, 2**64, 10**400)]
    + [
        b" ",
        b"nan",
        b"Infinity",
        b"1e999",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"true",
        b"null",
        b'""',
        b"../",
    ]
    + [character.encode() for character in "\x1c\x85\xa0\u2028\u202e\ufeff\uffff\U0001f4a9Ⅷ٣é"]
)
"""Words that parsers stumble over: ends of lines of every kind, escapes, borders of numbers, odd Unicode."""


class Target(NamedTuple):
    """Something that is fuzzed.

    Attributes:
        name: Its name, and that of its directory in the corpus.
        run: Asserts what holds for any bytes; the first line of its documentation says what that is.
        seeds: Bytes to begin from, and to take words from.
        parse: The parser alone, whose time must be linear in the size of what it reads; None for what takes
            no text of any length.
        suite: How many made inputs the test suite tries.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Sequence[bytes] = ()
    parse: Callable[[bytes], object] | None = None
    suite: int = 100


class Source:
    """Takes values out of bytes one after the other; when they are used up, every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Returns the next bytes, fewer at the end."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def below(self, limit: int) -> int:
        """Returns a number from 0 to ``limit`` - 1."""
        return int.from_bytes(self.take(1 if limit <= 1 << 8 else 4), "big") % limit

    def pick(self, choices: Sequence[T]) -> T:
        """Returns one of some things."""
        return choices[self.below(len(choices))]

    def words(self, choices: Sequence[bytes]) -> bytes:
        """Returns some bytes: one of the choices, a strange word, or what comes next."""
        kind = self.below(8)
        if kind < 5:
            return self.pick(choices)
        return self.pick(STRANGE) if kind < 7 else self.take(self.below(24))

    def text(self, limit: int = 24) -> str:
        """Returns text of at most ``limit`` bytes, lone surrogates where the bytes are no UTF-8."""
        return self.take(self.below(limit + 1)).decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        """Returns all that is left."""
        return self.take(self.left)

    def json(self, keys: Sequence[str] = (), depth: int = 3) -> object:
        """Returns any value that JSON can hold, and some that only Python's reader lets through."""
        kind = self.below(10 if depth else 8)
        if kind == 8:
            return [self.json(keys, depth - 1) for _ in range(self.below(4))]
        if kind == 9:
            return {self.key(keys): self.json(keys, depth - 1) for _ in range(self.below(5))}
        odd: tuple[object, ...] = (
            *(0, -1, 1, 2**31, 2**63, 10**30, 0.5, 3.0, 1e300, float("nan"), float("inf"), -float("inf")),
            *("", "\x1b[31m", "a\nb", "\ud800", "x" * 3000, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"),
            *(
                "2026-13-45T99:99:99Z",
                "2026-01-01T00:00:00.123456789Z",
                "KVM",
                "Pass",
                "Fail",
                "True",
                "100%",
            ),
        )
        return (None, True, False, [], {}, self.text(), self.pick(odd), self.below(1 << 16))[kind]

    def key(self, keys: Sequence[str]) -> str:
        """Returns a key of an object."""
        return self.pick(keys) if keys and self.below(8) else self.text(8)

    def spoil(self, value: object, keys: Sequence[str] = ()) -> object:
        """Returns a copy of a JSON value with something else in some places, or with fields added or gone."""
        for _ in range(self.below(4) + 1):
            value = self._spoil(value, keys)
        return value

    def _spoil(self, value: object, keys: Sequence[str]) -> object:
        if not value or not self.below(6):
            return self.json(keys)
        if isinstance(value, dict):
            copy = dict(value)
            name = self.pick(list(copy)) if self.below(6) else self.key(keys)
            if name in copy and not self.below(10):
                del copy[name]
            else:
                copy[name] = self._spoil(copy.get(name), keys)
            return copy
        if isinstance(value, list):
            at = self.below(len(value))
            return [*value[:at], self._spoil(value[at], keys), *value[at + 1 :]]
        return self.json(keys)


class Mutator:
    """Makes inputs out of others: for where no engine that sees the program's coverage is at hand."""

    def __init__(self, pool: Sequence[bytes], chance: random.Random) -> None:
        """Takes inputs to begin from."""
        self._chance = chance
        self._pool = list(pool)
        self._words = sorted({word for one in self._pool for word in one.split()}) or [b""]

    def input(self) -> bytes:
        """Returns the next input."""
        chance = self._chance
        if not self._pool or chance.random() < 0.1:
            return chance.randbytes(chance.randrange(1 << chance.randrange(1, 11)))
        data = chance.choice(self._pool)
        for _ in range(1 << chance.randrange(4)):
            data = self._change(data)
        return data[:MAX_INPUT]

    def _change(self, data: bytes) -> bytes:
        chance = self._chance
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + (1 << chance.randrange(7)))
        some = data[start:end]
        match chance.randrange(9):
            case 0:
                some = b""
            case 1:
                some += some * chance.randrange(1, 9)
            case 2:
                some = chance.randbytes(len(some))
            case 3:
                some = chance.choice(STRANGE)
            case 4:
                some = chance.choice(STRANGE) + some
            case 5:
                some = chance.choice(self._words) + some
            case 6:
                other = chance.choice(self._pool)
                return data[:start] + other[chance.randrange(len(other) + 1) :]
            case 7:
                other = chance.choice(self._pool)
                return data[:start] + b"\n" + other + data[start:]
            case _:
                some = bytes([chance.randrange(256)]) + some[1:]
        return data[:start] + some + data[end:]
