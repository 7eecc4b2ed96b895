"""What a person reads about a check on a terminal: its row in a list, and all that there is to know of it.

Prose is wrapped; a command never is, since it is there to be pasted. Pure.
"""

import json
import re
from collections.abc import Iterable, Iterator
from textwrap import wrap

from preflight.check import Check, Setting, Threshold
from preflight.config import Config
from preflight.outcomes import RUNNER_OUTCOMES
from preflight.result import Outcome, Status

WIDEST = 100
"""Columns of prose that are easily read, however wide the terminal is."""

NARROWEST = 40

WEIGHTS = {
    "blocking": "blocking: a Fail or Unknown fails the node",
    "unless-emulated": "unless emulated: a Fail or Unknown fails the node; with useEmulation it warns",
    "advisory": "advisory: never fails the node; a Fail is shown as Warn",
}

OPEN = "a reason that it gives itself, a CamelCase word"

_PART = re.compile(r"""(?:'[^']*'|"[^"]*"|[^;'"]|;(?! )|['"])+""")
"""What stands between two semicolons of a hint that a shell would see; within quotes it sees none."""


def rows(checks: Iterable[Check], config: Config, width: int | None) -> Iterator[str]:
    """Yields a line a check: name, weight, question.

    Args:
        checks: The checks.
        config: What is configured.
        width: Columns within which questions are wrapped; None leaves each row one line, for programs.
    """
    listed = [(check.name, config.weight(check).value, check.question) for check in checks]
    names = max((len(name) for name, _, _ in listed), default=0)
    weights = max((len(weight) for _, weight, _ in listed), default=0)
    for name, weight, question in listed:
        head = f"{name:<{names}}  {weight:<{weights}}  "
        if width is None:
            yield head + question
        else:
            yield from _hanging(head, question, width)


def explanation(check: Check, config: Config, width: int) -> str:
    """Returns what a person wants to know of a check, for a terminal that is ``width`` columns wide."""
    width = max(NARROWEST, min(width, WIDEST))
    lines = [f"{check.name}: {check.question}", ""]
    for paragraph in plain(check.description):
        lines += [*_hanging("  ", paragraph, width), ""]
    lines += _facts(check, config, width)
    lines += ["", "Reasons"]
    for outcome in check.outcomes:
        lines += _reason(outcome, width)
    if check.open_reasons:
        lines.append(f"  {'any':<8} {OPEN}")
    others = ", ".join(one.reason for one in RUNNER_OUTCOMES if one not in check.outcomes)
    lines += _hanging("  ", f"and, as on any check: {others}", width)
    if check.settings:
        lines += ["", f"Settings, under [checks.{check.name}] of the configuration file"]
        thresholds = config.thresholds(check)
        for setting in check.settings:
            lines += _setting(setting, thresholds[setting.name], width)
    return "\n".join(lines)


def plain(text: str) -> list[str]:
    """Returns the paragraphs of a documentation string, each one line, without its markup."""
    return [" ".join(re.sub(r"`+", "", part).split()) for part in text.split("\n\n") if part.strip()]


def fold_hint(hint: str, width: int) -> list[str]:
    """Breaks a hint between its commands alone, into lines of at most ``width`` columns where that can be."""
    lines: list[str] = []
    for part in _PART.findall(hint):
        part = part.strip()
        if lines and len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f"; {part}"
        else:
            if lines:
                lines[-1] += ";"
            lines.append(part)
    return lines


def meaning(setting: Setting) -> str:
    """Tells what a setting means, and how small it can be."""
    if setting.minimum is None:
        return setting.description
    return f"{setting.description} (at least {setting.minimum})"


def _facts(check: Check, config: Config, width: int) -> Iterator[str]:
    weight, seconds = config.weight(check), config.seconds(check)
    known = [
        ("Weight", [WEIGHTS[weight.value] + _configured(weight.value, check.weight.value)]),
        ("Time-out", [f"{seconds:g} s" + _configured(f"{seconds:g}", f"{check.timeout:g}")]),
        ("Reads", list(check.reads)),
        ("Needs", [", ".join(check.needs)] if check.needs else []),
        ("Looks at", [", ".join(check.after)] if check.after else []),
        ("Source", [check.source]),
    ]
    for label, texts in known:
        for at, text in enumerate(texts):
            yield from _hanging(f"{label if at == 0 else '':<9} ", text, width)


def _reason(outcome: Outcome, width: int) -> Iterator[str]:
    always = ", whatever the weight" if outcome.blocking and outcome.status is Status.FAIL else ""
    yield f"  {outcome.status.value:<8} {outcome.reason}{always}"
    if outcome.hint:
        first, *rest = fold_hint(outcome.hint, width - 13)
        yield f"{'':<11}→ {first}"
        yield from (f"{'':<13}{line}" for line in rest)


def _setting(setting: Setting, value: Threshold, width: int) -> Iterator[str]:
    shown = json.dumps(value, ensure_ascii=False)
    yield f"  {setting.name} = {shown}{_configured(shown, json.dumps(setting.default, ensure_ascii=False))}"
    yield from _hanging("      ", meaning(setting), width)


def _configured(value: str, default: str) -> str:
    return "" if value == default else f" (configured; by default {default})"


def _hanging(head: str, text: str, width: int) -> list[str]:
    """Wraps text behind a head; the following lines begin where it did."""
    room = max(width - len(head), NARROWEST)
    lines = wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [(head if at == 0 else " " * len(head)) + line for at, line in enumerate(lines)]
