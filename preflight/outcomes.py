"""Outcomes that the runner itself gives, on any check: how a check can end without having answered."""

from preflight.result import skipping, unknown

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
    "BadConfiguration", hint="reinstall or uninstall the named distribution, or use --ignore NAME"
)

RUNNER_OUTCOMES = (TIMED_OUT, CRASHED, KILLED, OUTPUT_TOO_LARGE, DEPENDENCY_FAILED, BAD_CONFIGURATION)
