"""Signals that end a command as Ctrl-C does, so that it takes back what it has begun."""

from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGHUP, SIGTERM, signal


@contextmanager
def hangup_and_termination_interrupt() -> Iterator[None]:
    """Has SIGTERM and SIGHUP, as when a terminal is closed, end the body as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal(number, interrupt) for number in (SIGTERM, SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal(number, handler)
