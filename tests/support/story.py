"""The log of the end-to-end tests, to be read as a story: what is done, what came of it, how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Story:
    """Tells, past pytest's capturing, and keeps what was measured."""

    def __init__(self, show: Callable[[str], None]) -> None:
        """Takes what prints a line."""
        self._show = show
        self.measured: list[tuple[str, float]] = []

    def title(self, text: str) -> None:
        """Says what the next lines are about."""
        self._show(f"\n{text}")

    def say(self, text: str) -> None:
        """Says a line, or several."""
        for line in text.rstrip().splitlines():
            self._show(f"            {line}")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Says what was done once it is done, and how long it took."""
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self._show(f"  {time.monotonic() - began:6.1f} s  FAILED: {what}")
            raise
        self._show(f"  {time.monotonic() - began:6.1f} s  {what}")

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        """A step whose time is told again at the end."""
        began = time.monotonic()
        with self.step(what):
            yield
        self.measured.append((what, time.monotonic() - began))
