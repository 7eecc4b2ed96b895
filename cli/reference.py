"""The reference page of the checks, in Markdown: all that their declarations say. Pure."""

import json
import re
from collections.abc import Iterable, Iterator

from cli.explanation import OPEN, WEIGHTS, meaning
from preflight.check import Check
from preflight.config import Config
from preflight.outcomes import RUNNER_OUTCOMES
from preflight.result import Outcome

HEAD = """\
# The checks

What is asked of a node, why, and what to do about each answer; `vm-preflight checks explain NAME` tells the
same on a terminal. A report's own hint can be more exact: it knows the host. Written by `make docs` from the
declarations of the checks (`vm-preflight checks list -o markdown`, which takes `--plugin-dir` too).
"""

WEIGHTS_HEAD = """\
| weight | means |
|---|---|"""

STATUSES = """\
A reason is what machines match on. `Pass`, `Warn` and `Skip` let the node pass. `Unknown`, it could not be
told, is never a pass.
"""

RUNNER = """\
## Reasons of any check

The runner itself gives these, where a check did not answer.
"""

CONFIGURATION = """\
## All settings

A [configuration file](configuration.md) that says what is the default anyway:
"""


def page(checks: Iterable[Check], config: Config) -> str:
    """Returns the page, without the last line's end."""
    checks = list(checks)
    lines = [HEAD, "| check | asks | weight |", "|---|---|---|"]
    for check in checks:
        weight = config.weight(check).value
        lines.append(f"| [{check.name}](#{check.name.lower()}) | {_cell(check.question)} | {weight} |")
    lines += ["", WEIGHTS_HEAD]
    for name, words in WEIGHTS.items():
        lines.append(f"| {name} | {_cell(words.partition(': ')[2])} |")
    lines += ["", STATUSES]
    for check in checks:
        lines += [*_section(check, config), ""]
    lines += [RUNNER, *_reasons(RUNNER_OUTCOMES), "", CONFIGURATION, "```toml"]
    lines += ["\n\n".join("\n".join(_table(check, config)) for check in checks), "```"]
    return "\n".join(lines)


def _section(check: Check, config: Config) -> Iterator[str]:
    yield f"## {check.name}"
    yield ""
    yield f"**{check.question}**"
    yield ""
    if check.description:
        yield re.sub(r"``+", "`", check.description)
        yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| weight | {config.weight(check).value} |"
    yield f"| time-out | {config.seconds(check):g} s |"
    yield f"| reads | {'<br>'.join(_code(path) for path in check.reads) or 'nothing'} |"
    for label, names in (("needs", check.needs), ("looks at", check.after)):
        if names:
            yield f"| {label} | {', '.join(f'[{name}](#{name.lower()})' for name in names)} |"
    yield f"| source | {_cell(check.source)} |"
    yield ""
    yield from _reasons(check.outcomes)
    if check.open_reasons:
        yield f"| {OPEN} | any | |"
    if check.settings:
        yield ""
        yield "| setting | default | |"
        yield "|---|---|---|"
        for one in check.settings:
            default = json.dumps(one.default, ensure_ascii=False)
            yield f"| `{one.name}` | `{default}` | {_cell(meaning(one))} |"


def _reasons(outcomes: Iterable[Outcome]) -> Iterator[str]:
    yield "| reason | status | what to do |"
    yield "|---|---|---|"
    for one in outcomes:
        always = ", whatever the weight" if one.blocking else ""
        yield f"| `{one.reason}` | {one.status.value}{always} | {_code(one.hint) if one.hint else ''} |"


def _table(check: Check, config: Config) -> Iterator[str]:
    """Yields a check's table of the configuration file."""
    yield f"[checks.{check.name}]"
    yield f'weight = "{config.weight(check).value}"'
    yield f"timeout = {config.seconds(check):g}"
    for name, value in config.thresholds(check).items():
        yield f"{name} = {json.dumps(value, ensure_ascii=False)}"


def _cell(text: str) -> str:
    """Makes text fit for a cell of a table: one line, its bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    """Shows text as it is to be typed; within a table a bar is escaped there too (GFM, 4.10)."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{_cell(text)}{fence}"
