"""Boots the lab's machines and prints a table: ``python -m lab [PATTERN…]``."""

import argparse
import fnmatch
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import capture, image, machine, table
from lab.apt import UnavailableError
from lab.architecture import Kernel
from lab.image import Image
from lab.judge import Judgement, judge
from lab.scenario import Scenario
from lab.scenarios import SCENARIOS

LOGS = image.CACHE / "logs"


def main(argv: Sequence[str]) -> int:
    """Runs the scenarios that are asked for; returns 0 where all were verified and ours was right."""
    options = _options(argv)
    chosen = [one for one in SCENARIOS if any(fnmatch.fnmatch(one.name, word) for word in options.patterns)]
    if options.capture:
        chosen = [one for one in chosen if one.tree]
    if not chosen:
        print(f"no scenario is called {' or '.join(options.patterns)}", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(one.name for one in chosen))
        return 0
    chosen.sort(key=lambda one: one.order)
    print(table.line(table.HEADINGS), flush=True)
    lab = _Lab(time.monotonic() + options.seconds if options.seconds else None, capture=options.capture)
    judgements = []
    for judgement in lab.run(chosen, options.jobs):
        print(table.line(table.row(judgement)), flush=True)
        judgements.append(judgement)
    print("\n" + table.summary(judgements, lab.not_run))
    if lab.captured:
        capture.write_reasons(lab.captured)
        print(f"captured below {capture.HOSTS}: {' '.join(lab.captured)}")
    return 0 if judgements and all(one.right for one in judgements) else 1


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Machines with real kernels, judged.")
    parser.add_argument("patterns", nargs="*", default=["*"], help="names of scenarios, with * and ?")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--capture", action="store_true", help="keep what ours reads below tests/hosts")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="machines at once")
    parser.add_argument("--seconds", type=float, help="start no machine after this time")
    return parser.parse_args(argv)


class _Lab:
    """Builds each image once, and runs machines side by side."""

    def __init__(self, end: float | None, *, capture: bool) -> None:
        self._end = end
        self._capture = capture
        self.captured: list[str] = []
        self._images: dict[Kernel, Image | str] = {}
        self.not_run: list[tuple[Scenario, str]] = []

    def run(self, scenarios: Sequence[Scenario], jobs: int) -> Iterator[Judgement]:
        """Yields what came of scenarios, in their order."""
        LOGS.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(jobs) as pool:
            pending = [
                (one, pool.submit(self._boot, one, built)) for one in scenarios if (built := self._image(one))
            ]
            for scenario, future in pending:
                try:
                    yield future.result()
                except UnavailableError as error:
                    self.not_run.append((scenario, str(error)))

    def _image(self, scenario: Scenario) -> Image | None:
        if scenario.kernel not in self._images:
            try:
                self._images[scenario.kernel] = image.build(scenario.kernel)
            except UnavailableError as error:
                self._images[scenario.kernel] = str(error)
        built = self._images[scenario.kernel]
        if isinstance(built, str):
            self.not_run.append((scenario, built))
            return None
        return built

    def _boot(self, scenario: Scenario, built: Image) -> Judgement:
        if self._end is not None and time.monotonic() > self._end:
            raise UnavailableError("no time is left")
        log = Path(LOGS, scenario.name.replace("/", "-") + ".log")
        try:
            record = machine.boot(scenario, built, log, capture=self._capture)
        except machine.FailedError as error:
            return Judgement(scenario, unverified=f"{error}; its console: {log}")
        judgement = judge(scenario, record)
        if self._capture and judgement.right:
            capture.keep(scenario.tree, record)
            self.captured.append(scenario.tree)
        return judgement


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
