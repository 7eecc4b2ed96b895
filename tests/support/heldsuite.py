"""A real probe of the real suite, whose checks stop where a test wants them to, while it kills somebody."""

import os
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from waiting import STEP_SECONDS, until

from agent import probe
from checks import kvm
from linux import qemu, raw_cpuid
from preflight import discovery
from preflight.check import Check, Run
from preflight.host import Host
from preflight.result import Finding

if TYPE_CHECKING:  # what the probe's process need not load
    from agentlab import Lab, Process

SECONDS = 60.0
"""In place of the checks' own time-outs, which the busy machine of a test may use up."""
SCRIPT = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import heldsuite
sys.exit(heldsuite.main(**json.loads(sys.argv[1])))
"""


class Moment(StrEnum):
    """Where a check stops."""

    BEGUN = "it has begun"
    WITHIN = "half of its calls are done"
    FOUND = "it has found its answer, which is not told yet"


class Suite:
    """What the test and the checks tell each other, in files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._wanted, self._held = directory / "wanted", directory / "held"

    def stop_at(self, check: str, moment: Moment) -> None:
        """Has every process stop that comes there from now on."""
        self._held.unlink(missing_ok=True)  # one may have stopped, unasked for, before all went on
        self._put(self._wanted, f"{check} {moment.name}")

    def go_on(self) -> None:
        """Has everybody go on that has stopped, and nobody stop any more."""
        self._wanted.unlink()

    def held(self) -> int | None:
        """Returns the process that has stopped, once for each; None for none."""
        try:
            pid = int(self._held.read_text())
        except FileNotFoundError:
            return None
        self._held.unlink()
        return pid

    def wait_held(self) -> int:
        """Waits for a process that has stopped, and returns its number."""
        return until(self.held, "a check to stop")

    def around(self, check: Check) -> Check:
        """Returns a check that stops where it is wanted; half of its calls are known once it has run."""
        function, calls = check.function, self._directory / f"calls-{check.name}"

        def held(host: Host, run: Run) -> Finding:
            wanted = any(self._wants(check.name, moment) for moment in Moment)
            if wanted:
                run = run._replace(previous=None)  # what it found before would be an answer without asking
            self._pass(check.name, Moment.BEGUN)
            half = int(calls.read_text()) // 2 if self._wants(check.name, Moment.WITHIN) else -1
            finding, count = _counted(
                lambda: function(host, run), half, lambda: self._pass(check.name, Moment.WITHIN)
            )
            # In a second child a check may have to do what others have done before it in the first.
            if not wanted and run.previous is None:
                self._put(calls, str(count))
            self._pass(check.name, Moment.FOUND)
            return finding

        # It waits for the test, which may be busy.
        return check._replace(function=held, timeout=SECONDS)

    def _wants(self, check: str, moment: Moment) -> bool:
        try:
            return self._wanted.read_text() == f"{check} {moment.name}"
        except FileNotFoundError:
            return False

    def _pass(self, check: str, moment: Moment) -> None:
        if self._wants(check, moment):
            self._put(self._held, str(os.getpid()))
            while self._wants(check, moment):
                time.sleep(STEP_SECONDS)

    def _put(self, path: Path, text: str) -> None:
        part = path.with_suffix(".part")
        part.write_text(text)
        part.replace(path)


def _counted(work: Callable[[], Finding], at: int, act: Callable[[], None]) -> tuple[Finding, int]:
    """Works and counts the calls of functions meanwhile; acts at one of them."""
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            if count == at:
                sys.setprofile(None)
                act()
            count += 1

    sys.setprofile(profile)
    try:
        return work(), count
    finally:
        sys.setprofile(None)


def real_suite() -> list[Check]:
    """Returns the checks of this distribution."""
    found = discovery.discover(plugin_dir=None)
    return [check for check in found if check.function.__module__.startswith("checks.")]


def main(*, socket: str, directory: str) -> int:
    """Is the probe."""
    qemu.TIMEOUT = raw_cpuid.TIMEOUT = kvm.GUEST_SECONDS = SECONDS
    suite = Suite(Path(directory))
    checks = tuple(suite.around(check) for check in real_suite())
    discovery.discover = lambda *_, **__: checks
    return probe.run(socket=socket)


def start(lab: "Lab", suite: Path) -> "Process":
    """Starts the probe on the lab's socket, and waits until it serves."""
    process = lab.start("probe", SCRIPT, {"socket": lab.socket, "directory": str(suite)})
    process.wait_for_log("serving")
    return process
