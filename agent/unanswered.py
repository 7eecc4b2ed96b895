"""The report of a run that the probe did not answer: one result, of the check ``Probe``, that says why."""

import os
from typing import NamedTuple

from preflight.clock import rfc3339
from preflight.report import MAX_NAME, Report
from preflight.result import Outcome, Result, one_line, unknown

CHECK = "Probe"

HINT = "look at the probe's log and start it again; this node is judged as soon as it answers"

UNAVAILABLE = unknown("ProbeUnavailable", hint=HINT)
"""It cannot be reached, or ended before it answered."""
TIMED_OUT = unknown("ProbeTimedOut", hint=HINT)
"""It was asked and did not answer in time."""
NOT_UNDERSTOOD = unknown("ProbeNotUnderstood", hint="run agent and probe of the same version")
"""What it sent is no message of the protocol."""
REFUSED = unknown("ProbeRefused", hint=HINT)
"""It said that it could not do what was asked."""


class ProbeError(Exception):
    """The probe gave no report; the message is one line.

    Attributes:
        outcome: In which of this module's ways.
    """

    def __init__(self, outcome: Outcome, message: str) -> None:
        """Takes an outcome and what happened."""
        super().__init__(one_line(message))
        self.outcome = outcome


class Origin(NamedTuple):
    """What a report says of where it is from.

    Attributes:
        node: The node's name.
        agent_version: Version of this program.
        kernel_version: ``uname -r``.
        architecture: ``uname -m``.
        boot_id: The kernel's boot ID.
    """

    node: str
    agent_version: str
    kernel_version: str
    architecture: str
    boot_id: str


def origin(node: str, agent_version: str) -> Origin:
    """Returns the origin of reports of this process on this kernel."""
    kernel = os.uname()
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot_id = file.read(MAX_NAME).strip()
    except OSError:  # no /proc: a report can do without
        boot_id = ""
    return Origin(node, agent_version, kernel.release, kernel.machine, boot_id)


def report(where: Origin, error: ProbeError, *, attempts: int, begun: float, ended: float) -> Report:
    """Makes the report.

    Args:
        where: Where it is from.
        error: The last failure.
        attempts: How often the probe was asked; 0 if it could not be reached.
        begun: When the run began, in seconds since the epoch.
        ended: When it was given up.
    """
    times = "once" if attempts == 1 else f"{attempts} times"
    tried = f"asked the probe {times}" if attempts else "tried to reach the probe"
    finding = error.outcome(f"{tried} in {ended - begun:.0f} s: {error}")
    result = Result(
        CHECK,
        finding.outcome.status,
        passed=False,
        reason=finding.outcome.reason,
        message=finding.message,
        hint=finding.hint,
        duration_seconds=max(0.0, ended - begun),
    )
    return Report(
        node=where.node,
        passed=False,
        mode=None,
        results=(result,),
        start_time=rfc3339(begun),
        completion_time=rfc3339(ended),
        kernel_version=where.kernel_version,
        architecture=where.architecture,
        agent_version=where.agent_version,
        boot_id=where.boot_id,
    )
