"""Boots the lab's machines and prints a table: ``python -m lab [PATTERN…]``."""

import argparse
import fnmatch
import os
import sys
from collections.abc import Sequence

from lab import capture, table
from lab.runner import Lab
from lab.scenarios import SCENARIOS


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
    lab = Lab(seconds=options.seconds, capture_trees=options.capture)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
