"""What a program writes while it runs: read to the end, so that it never waits for us, and kept in part."""

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from math import inf

from preflight.process import TICK, Child

MAX_OUTPUT = 1 << 16
"""Bytes of a stream that are kept, from the beginning; as much as a pipe holds (pipe(7))."""

_WATCH = 1.0
"""Seconds between two looks at whether the runner is still there."""


def beginning(data: bytes) -> bytes:
    """Keeps the beginning of what was written."""
    return data[:MAX_OUTPUT]


class Stream:
    """Where a program writes to, and the part of it that is kept."""

    def __init__(
        self, descriptor: int, keep: Callable[[bytes], bytes] = beginning, *, relayed: int = 0
    ) -> None:
        """Takes the end that we read from.

        Args:
            descriptor: Its number; it stays the caller's to close.
            keep: Returns what is kept of all that was kept and came.
            relayed: Bytes that are shown to the runner at once: all that is left of a program that it ends.
        """
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.open = True
        self.kept = b""
        self._keep = keep
        self._relayed = relayed

    def read(self) -> None:
        """Takes what is there: one read empties a pipe, and who goes on writing does not hold us up."""
        if not self.open:
            return
        try:
            data = os.read(self.descriptor, MAX_OUTPUT)
        except BlockingIOError:
            return
        except ConnectionResetError:  # a socket, and the program ended with something unread
            data = b""
        self.open = bool(data)
        self.kept = self._keep(self.kept + data)
        if shown := data[: self._relayed]:
            self._relayed -= os.write(2, shown)


def listen(child: Child, streams: Sequence[Stream], deadline: float = inf) -> int | None:
    """Reads what a program writes until it has ended, not what goes on writing then.

    Where the runner is gone that keeps the time of a check, the whole process group is ended.

    Args:
        child: The program.
        streams: Where it writes to.
        deadline: On the monotonic clock.

    Returns:
        Its exit status, negative for the signal that ended it; None where it did not end in time.
    """
    runner = os.getppid()
    watched = child.fileno()
    while True:
        # Asked before the streams are read: what it wrote before its end is then there to be read.
        ended = child.ended()
        for stream in streams:
            stream.read()
        left = deadline - time.monotonic()
        if ended or left <= 0:
            return child.exit_code
        if os.getppid() != runner:
            os.killpg(0, signal.SIGKILL)
        poll = select.poll()
        for descriptor in (watched, *(stream.descriptor for stream in streams if stream.open)):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        poll.poll(min(left, TICK if watched is None else _WATCH) * 1000)
