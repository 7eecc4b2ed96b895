"""The machines of ``tests/hosts`` and the reasons that each check gives there; a program that writes them.

``python tests/support/golden.py [MACHINE…]`` writes ``tests/hosts/MACHINE.json``, by default of all machines.
Read the difference before it is committed: a reason that changed is a mistake or the point of the change.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from preflight.check import Check, Run
from preflight.discovery import discover
from preflight.host import Host
from preflight.ordering import unmet
from preflight.outcomes import DEPENDENCY_FAILED
from preflight.result import Finding

HOSTS = Path(__file__).parents[1] / "hosts"
MACHINES = sorted(path.name for path in HOSTS.iterdir() if path.is_dir())


def checks() -> tuple[Check, ...]:
    """Returns our own checks, in the order of a report."""
    return tuple(check for check in discover() if check.function.__module__.startswith("checks."))


def ask(host: Host) -> dict[str, Finding]:
    """Asks every check, as a run would, in this process."""
    findings: dict[str, Finding] = {}
    for check in checks():
        problem = unmet(check, findings)
        before = {name: findings[name] for name in (*check.needs, *check.after)}
        settings = {setting.name: setting.default for setting in check.settings}
        if problem:
            findings[check.name] = DEPENDENCY_FAILED(problem)
        else:
            findings[check.name] = check(host, Run(findings=before, settings=settings))
    return findings


def reasons(machine: str) -> dict[str, str]:
    """Returns the reason that each check gives on a machine."""
    return {name: finding.outcome.reason for name, finding in ask(Host(str(HOSTS / machine))).items()}


def main(machines: Sequence[str]) -> None:
    """Writes the golden reasons of machines."""
    for machine in machines or MACHINES:
        (HOSTS / f"{machine}.json").write_text(json.dumps(reasons(machine), indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
