"""The table of what came of scenarios: pure."""

import re
from collections.abc import Iterable, Sequence

from lab.judge import Judgement, reference_is_right
from lab.scenario import Scenario

HEADINGS = ("scenario", "kernel", "truth", "ours", "virt-host-validate", "kvm-ok")
RIGHT, WRONG, UNVERIFIED = "✓", "✗", "?"


def row(judgement: Judgement) -> tuple[str, ...]:
    """Returns the cells of a scenario."""
    scenario, truth = judgement.scenario, judgement.scenario.truth
    mark = UNVERIFIED if judgement.unverified else WRONG if judgement.wrong else RIGHT
    return (
        scenario.name,
        re.split("[-+]", judgement.release)[0],
        f"{truth.status} {truth.reason}",
        f"{mark} {judgement.ours or 'no report'}",
        *(_cell(judgement, name) for name in HEADINGS[4:]),
    )


def _cell(judgement: Judgement, name: str) -> str:
    verdict = judgement.references.get(name)
    if verdict is None:
        return ""
    return f"{RIGHT if reference_is_right(judgement.scenario, verdict) else WRONG} {verdict}"


WIDTHS = (38, 9, 32, 34, 20, 10)


def line(cells: Sequence[str]) -> str:
    """Lays cells out."""
    return " ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def summary(judgements: Sequence[Judgement], not_run: Iterable[tuple[Scenario, str]]) -> str:
    """Says in lines what was wrong and what was not run, and counts."""
    lines = []
    for judgement in judgements:
        if judgement.unverified:
            lines.append(f"{judgement.scenario.name}: not verified: {judgement.unverified}")
        if judgement.wrong:
            lines.append(f"{judgement.scenario.name}: wrong: {judgement.wrong}")
    reasons: dict[str, list[str]] = {}
    for scenario, why in not_run:
        reasons.setdefault(why, []).append(scenario.name)
    lines += [f"not run, {why}: {' '.join(names)}" for why, names in reasons.items()]
    lines.append(_counts(judgements, sum(map(len, reasons.values()))))
    return "\n".join(lines)


def _counts(judgements: Sequence[Judgement], not_run: int) -> str:
    right = sum(judgement.right for judgement in judgements)
    parts = [f"{right} of {len(judgements)} right, verdict and cause"]
    for name in HEADINGS[4:]:
        asked = [judgement for judgement in judgements if name in judgement.references]
        agreed = sum(reference_is_right(one.scenario, one.references[name]) for one in asked)
        if asked:
            parts.append(f"{name}: {agreed} of {len(asked)} verdicts")
    return "; ".join((*parts, f"{not_run} not run"))
