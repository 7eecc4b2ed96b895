"""Children that do not die of SIGKILL, or programs of theirs: stuck in the kernel, they may hold a device."""

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
        check: The check that it was asked last.
        answered: Whether that was answered: what the child has left behind is then not known to be its.
    """

    child: Child
    check: Check
    answered: bool

    def holds_up(self, check: Check) -> bool:
        """Whether a check must wait for this one: it is the same, or opens a device that this one opens."""
        return check.name == self.check.name or bool(_devices(check) & _devices(self.check))

    def finding(self) -> Finding:
        """Returns the answer of a check that is held up."""
        if self.child.exit_code is not None:
            return TIMED_OUT(
                f"not asked: what {self.check.name} has started cannot be killed (session {self.child.pid})",
                hint=f"see where it waits: ps -s {self.child.pid} -o pid,user,stat,wchan:32,args; only "
                "a reboot may end it",
            )
        return TIMED_OUT(
            f"not asked: process {self.child.pid} of {self.check.name} is stuck in the kernel",
            hint=f"see where it waits: cat /proc/{self.child.pid}/stack; nothing but a reboot may end it",
        )


def _devices(check: Check) -> set[str]:
    """Returns the devices that a check declares to read."""
    return set(_DEVICE.findall(" ".join(check.reads)))
