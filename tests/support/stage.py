"""Where ``make demo`` is told: titles, commands as a person types them, what they print, how long it took.

What a command answers is checked as it is shown: a story with a wrong word in it ends the demo.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
GREEN, RED, BOLD, TITLE = "32", "31", "1", "1;36"
MARKED = re.compile(r"\b(?:(Passed|Pass|passed)|(Failed|Fail|failed|refused|forbidden))\b")


def paint(text: str, code: str) -> str:
    """Returns text in a colour, where there is a terminal."""
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class Stage:
    """The terminal.

    Attributes:
        environment: What commands are run with.
        directory: Where they are run.
    """

    def __init__(self) -> None:
        self.environment: Mapping[str, str] = os.environ
        self.directory: Path | None = None
        self._chapter = 0

    def title(self, text: str) -> None:
        """Begins a chapter."""
        self._chapter += 1
        print(f"\n{paint(f'{self._chapter}. {text}', TITLE)}", flush=True)

    def say(self, text: str) -> None:
        """Says something in between."""
        print(f"  {text}", flush=True)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Shows that something takes time, and how long it took."""
        print(f"  {what} … ", end="", flush=True)
        start = time.monotonic()
        yield
        print(f"{time.monotonic() - start:.1f} s", flush=True)

    def run(
        self,
        command: str,
        *,
        status: int = 0,
        says: str | None = None,
        lines: int = 40,
        only: str | None = None,
    ) -> None:
        """Shows a command and what it prints, and checks both.

        Args:
            command: As a person types it, without a shell.
            status: The exit status that it must end with.
            says: What must be in its output (a regular expression).
            lines: As for `show`.
            only: As for `show`.

        Raises:
            AssertionError: It did not do what the story says.
        """
        done = subprocess.run(
            shlex.split(command),
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.show(command, done.stdout, says=says, lines=lines, only=only)
        if done.returncode != status:
            raise AssertionError(f"{command}: ended with status {done.returncode}, not {status}")

    def show(
        self, command: str, output: str, *, says: str | None = None, lines: int = 40, only: str | None = None
    ) -> None:
        """Shows a command and what it printed.

        Args:
            command: As a person types it.
            output: What it printed.
            says: What must be in its output (a regular expression).
            lines: How many lines are shown at most.
            only: Shows the lines alone that match (a regular expression), as grep would.

        Raises:
            AssertionError: It does not say what it must.
        """
        shown = command + (f" | grep -E '{only}'" if only else "")
        print(f"  {paint(f'$ {shown}', BOLD)}")
        told = [line for line in output.rstrip().splitlines() if only is None or re.search(only, line)]
        for line in told[:lines] or ["(nothing)"]:
            print("  " + MARKED.sub(lambda found: paint(found[0], GREEN if found[1] else RED), line).rstrip())
        if len(told) > lines:
            print(f"  … {len(told) - lines} more lines")
        sys.stdout.flush()
        if says is not None and not re.search(says, output):
            raise AssertionError(f"{command}: does not say {says!r}")
