"""Runs scenarios side by side: builds what they boot, boots them, judges them."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab import capture, image, machine
from lab.apt import CACHE, UnavailableError
from lab.architecture import Kernel
from lab.image import Image
from lab.judge import Judgement, judge
from lab.scenario import Scenario

LOGS = CACHE / "logs"
BOOTS = 2
"""How often a machine is booted that hands over no record: emulation on a busy machine can be starved."""


class Lab:
    """Machines, an image for each kernel, and what could not be run.

    Attributes:
        not_run: Scenarios that were not run, and why.
        captured: Names of the trees that were written.
    """

    def __init__(self, *, seconds: float | None = None, capture_trees: bool = False) -> None:
        """Makes a lab that starts no machine once ``seconds`` have passed."""
        self.not_run: list[tuple[Scenario, str]] = []
        self.captured: list[str] = []
        self._end = None if seconds is None else time.monotonic() + seconds
        self._capture = capture_trees
        self._images: dict[Kernel, Image | UnavailableError] = {}
        self._building = threading.Lock()

    def run(self, scenarios: Sequence[Scenario], jobs: int) -> Iterator[Judgement]:
        """Yields what came of scenarios, in their order; ``jobs`` machines run at once."""
        LOGS.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(jobs) as pool:
            for scenario, future in [(one, pool.submit(self._judge, one)) for one in scenarios]:
                try:
                    yield future.result()
                except UnavailableError as error:
                    self.not_run.append((scenario, str(error)))

    def _judge(self, scenario: Scenario) -> Judgement:
        self._ask_for_time()
        built = self._image(scenario.kernel)
        self._ask_for_time()
        try:
            record = self._boot(scenario, built)
        except machine.FailedError as error:
            return Judgement(scenario, unverified=str(error))
        judgement = judge(scenario, record)
        if self._capture and judgement.right:
            capture.keep(scenario.tree, record)
            self.captured.append(scenario.tree)
        return judgement

    def _ask_for_time(self) -> None:
        if self._end is not None and time.monotonic() > self._end:
            raise UnavailableError("no time was left")

    def _image(self, kernel: Kernel) -> Image:
        with self._building:
            if kernel not in self._images:
                try:
                    self._images[kernel] = image.build(kernel)
                except UnavailableError as error:
                    self._images[kernel] = error
            built = self._images[kernel]
        if isinstance(built, UnavailableError):
            raise built
        return built

    def _boot(self, scenario: Scenario, built: Image) -> dict[str, Any]:
        errors = []
        for number in range(1, BOOTS + 1):
            log = LOGS / f"{scenario.name.replace('/', '-')}.{number}.log"
            try:
                return machine.boot(scenario, built, log, capture=self._capture)
            except machine.FailedError as error:
                errors.append(f"{error}; console: {log}")
                print(f"{scenario.name}: {errors[-1]}", file=sys.stderr, flush=True)
        raise machine.FailedError("; ".join(errors))
