"""``vm-preflight checks list`` and ``checks explain NAME``: what is asked, why, and what to do."""

import json
from collections.abc import Sequence

from cli import output
from cli.options import Parser, UsageError, choice
from preflight.check import Check


def main(program: str, words: Sequence[str]) -> int:
    """Lists the checks, or explains one.

    Raises:
        UsageError: A check that there is not.
    """
    if words and words[0] == "list":
        return list_checks(f"{program} list", words[1:])
    if words and words[0] == "explain":
        return explain_check(f"{program} explain", words[1:])
    if words and words[0] in ("-h", "--help"):
        print(f"usage: {program} list [-o text|json]\n       {program} explain NAME")
        return 0
    raise UsageError("say 'list' or 'explain NAME'")


def list_checks(program: str, words: Sequence[str]) -> int:
    """Prints every check, those of plugins among them."""
    from preflight.discovery import discover

    parser = Parser(program, "Lists the checks.")
    parser.option(
        "--output",
        choice("text", "json"),
        short="-o",
        default="text",
        metavar="text|json",
        help="form of the list",
    )
    options = parser.parse_args(words)
    checks = discover()
    if options.output == "json":
        output.as_utf8()
        print(json.dumps([declaration(check) for check in checks], indent=2, ensure_ascii=False))
        return 0
    name_width = max(len(check.name) for check in checks)
    weight_width = max(len(check.weight) for check in checks)
    for check in checks:
        print(f"{check.name:<{name_width}}  {check.weight:<{weight_width}}  {check.question}")
    return 0


def explain_check(program: str, words: Sequence[str]) -> int:
    """Prints what a check asks, what it reads, its reasons with their hints, its weight and its source."""
    from preflight.discovery import discover

    parser = Parser(program, "Explains a check.")
    parser.add_argument("name", metavar="NAME")
    options = parser.parse_args(words)
    checks = {check.name: check for check in discover()}
    if options.name not in checks:
        raise UsageError(f"{options.name}: no such check (there are {', '.join(checks)})")
    print(explanation(checks[options.name]))
    return 0


def declaration(check: Check) -> dict[str, object]:
    """Returns a check's declaration in JSON's types."""
    return {
        "name": check.name,
        "question": check.question,
        "weight": check.weight.value,
        "reads": list(check.reads),
        "source": check.source,
        "timeoutSeconds": check.timeout,
        "needs": list(check.needs),
        "after": list(check.after),
        "reasons": [
            {"reason": one.reason, "status": one.status.value, **({"hint": one.hint} if one.hint else {})}
            for one in check.outcomes
        ],
        "settings": [
            {"name": one.name, "default": one.default, "description": one.description}
            for one in check.settings
        ],
    }


WEIGHTS = {
    "blocking": "blocking: a Fail or Unknown fails the node",
    "unless-emulated": "unless emulated: a Fail or Unknown fails the node; with useEmulation it warns",
    "advisory": "advisory: never fails the node",
}


def explanation(check: Check) -> str:
    """Returns what a person wants to know of a check."""
    lines = [f"{check.name}: {check.question}", "", f"Weight   {WEIGHTS[check.weight.value]}"]
    lines += [f"{'Reads' if at == 0 else '':<8} {path}" for at, path in enumerate(check.reads)]
    lines += [f"Source   {check.source}", f"Time-out {check.timeout:g} s"]
    if check.needs:
        lines.append(f"Needs    {', '.join(check.needs)}")
    if check.after:
        lines.append(f"After    {', '.join(check.after)}")
    lines += ["", "Reasons"]
    width = max(len(one.reason) for one in check.outcomes)
    for one in check.outcomes:
        lines.append(f"  {one.reason:<{width}}  {one.status.value}{' (blocking)' if one.blocking else ''}")
        if one.hint:
            lines.append(f"  {'':<{width}}  → {one.hint}")
    if check.settings:
        lines += ["", f"Settings, under [checks.{check.name}] of the configuration file"]
        lines += [f"  {one.name} = {json.dumps(one.default)}  {one.description}" for one in check.settings]
    return "\n".join(lines)
