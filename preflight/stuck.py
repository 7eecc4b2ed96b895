"""Children that do not die of SIGKILL: they are stuck in the kernel, and may hold a device."""

import re
from typing import NamedTuple

from preflight.check import Check
from preflight.outcomes import TIMED_OUT
from preflight.process import Child
from preflight.result import Finding

_DEVICE = re.compile(r"/dev/[\w./-]*\w")


class Stuck(NamedTuple):
    """A child that was left behind.

    Attributes:
        child: The child.
        check: The check that it was asked.
    """

    child: Child
    check: Check

    def holds_up(self, check: Check) -> bool:
        """Whether a check must wait for this one: it is the same, or opens a device that this one opens."""
        return check.name == self.check.name or bool(_devices(check) & _devices(self.check))

    def finding(self) -> Finding:
        """Returns the answer of a check that is held up."""
        return TIMED_OUT(
            f"not asked: process {self.child.pid} of {self.check.name} is stuck in the kernel",
            hint=f"see where it waits: cat /proc/{self.child.pid}/stack; nothing but a reboot may end it",
        )


def _devices(check: Check) -> set[str]:
    """Returns the devices that a check declares to read."""
    return set(_DEVICE.findall(" ".join(check.reads)))
