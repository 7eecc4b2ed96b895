"""A child that is forked ahead of the run that it is for, and waits to be told what to ask.

A fork, and a new process's first steps, take as long as the whole suite: a process that runs it again and
again makes them while nobody waits.
"""

import os
from collections.abc import Sequence

from preflight.attempt import Attempt
from preflight.child import Orders, Task
from preflight.fields import Fields
from preflight.framing import Decoder, encode
from preflight.report import MAX_RESULTS


class Spare:
    """A child that waits, as its parent sees it."""

    def __init__(self, attempt: Attempt, go: int) -> None:
        """Takes over a child that was just forked, and the end for writing of the pipe that it waits on."""
        self.attempt = attempt
        self._go = go

    def start(self, names: Sequence[str], *, use_emulation: bool) -> bool:
        """Tells the child which checks to ask; returns whether it is there to hear it."""
        message = encode({"checks": list(names), "useEmulation": use_emulation})
        try:
            return not self.attempt.child.ended() and os.write(self._go, message) == len(message)
        except OSError:  # it has ended just now
            return False
        finally:
            self.close()

    def close(self) -> None:
        """Closes the pipe: a child that still waits ends by itself."""
        if self._go >= 0:
            os.close(self._go)
            self._go = -1


def wait(go: int, suite: Sequence[Task]) -> Orders:
    """Waits, in the child, until it is told which checks of the suite to ask.

    Where its parent is gone, or needs it no more, the process ends here.
    """
    decoder = Decoder()
    while data := os.read(go, 1 << 16):
        for message in decoder.feed(data):
            fields = Fields(message)
            names = fields.sequence("checks", MAX_RESULTS)
            tasks = [task for task in suite if task.check.name in names]
            return Orders(tasks, use_emulation=fields.flag("useEmulation"))
    os._exit(0)
