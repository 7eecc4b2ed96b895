"""Waits, within bounds, for what another process does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
SECONDS = 60.0
"""Longest wait: the machines that tests run on are busy."""
STEP_SECONDS = 0.05


def until(look: Callable[[], Value | None], what: str, *, seconds: float = SECONDS) -> Value:
    """Looks again and again, and returns the first answer that is neither None nor False.

    Args:
        look: Tells what is there.
        what: What is waited for, for the error.
        seconds: How long at most.

    Raises:
        AssertionError: It did not come; the message says what was waited for.
    """
    end = time.monotonic() + seconds
    while True:
        answer = look()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(STEP_SECONDS)
