"""Outcomes that the runner itself gives, on any check: how a check can end without having answered."""

import signal

from preflight.result import Finding, skipping, unknown

TIMED_OUT = unknown(
    "TimedOut",
    hint="raise the check's time-out under [checks.NAME] in the configuration, or find out what blocks it",
)
CRASHED = unknown(
    "Crashed", hint="report it to the check's authors, or leave the check out with --ignore NAME"
)
KILLED = unknown("Killed", hint="look for the sender, often the out-of-memory killer: dmesg | grep -i kill")
OUTPUT_TOO_LARGE = unknown(
    "OutputTooLarge", hint="report it to the check's authors, or leave the check out with --ignore NAME"
)
DEPENDENCY_FAILED = skipping("DependencyFailed")
BAD_CONFIGURATION = unknown(
    "BadConfiguration",
    hint="mend or remove what the message names, or leave the check out with --ignore NAME",
)

EXHAUSTED = "ResourceExhausted"
"""The reason of a check that has a word of its own for descriptors, processes or memory that are lacking."""

RUNNER_OUTCOMES = (TIMED_OUT, CRASHED, KILLED, OUTPUT_TOO_LARGE, DEPENDENCY_FAILED, BAD_CONFIGURATION)

_OWN_FAULT = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGTRAP")
"""Signals that a process brings upon itself (signal(7)); the others are sent by somebody."""

_NO_FILTER = (
    "run without the seccomp filter: docker run --security-opt seccomp=unconfined …; in Kubernetes, "
    "seccompProfile: {type: Unconfined}; in a unit of systemd, SystemCallFilter="
)


def ended_by(number: int, what: str = "the process") -> Finding:
    """Tells that a signal ended ``what``: it crashed, or somebody has killed it."""
    names = {one.value: one.name for one in signal.Signals}  # real-time signals have no names
    name = names.get(number, f"signal {number}")
    text = f"{what} was ended by {name} ({signal.strsignal(number) or 'unknown'})"
    if name == "SIGSYS":
        return KILLED(f"{text}, as a seccomp filter does for a call that it forbids", hint=_NO_FILTER)
    return (CRASHED if name in _OWN_FAULT else KILLED)(text)
