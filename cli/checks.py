"""``vm-preflight checks list`` and ``checks explain NAME``: what is asked, why, and what to do."""

import json
import sys
from collections.abc import Mapping, Sequence

from cli import output
from cli.options import Parser, UsageError, choice, columns
from preflight.check import Check
from preflight.config import Config

FORMATS = ("text", "json", "markdown")


def main(program: str, words: Sequence[str]) -> int:
    """Lists the checks, or explains one.

    Raises:
        UsageError: A check that there is not, or a configuration or directory that cannot be used.
    """
    if words and words[0] == "list":
        return list_checks(f"{program} list", words[1:])
    if words and words[0] == "explain":
        return explain_check(f"{program} explain", words[1:])
    if words and words[0] in ("-h", "--help"):
        print(f"usage: {program} list [-o {'|'.join(FORMATS)}]\n       {program} explain NAME")
        return 0
    raise UsageError("say 'list' or 'explain NAME'")


def list_checks(program: str, words: Sequence[str]) -> int:
    """Prints every check, those of plugins among them."""
    parser = Parser(program, "Lists the checks.")
    parser.option(
        "--output",
        choice(*FORMATS),
        short="-o",
        default="text",
        metavar="|".join(FORMATS),
        help="form of the list; markdown: a page that explains them all",
    )
    _where(parser)
    options = parser.parse_args(words)
    checks, config = _found(options.plugin_dir, options.config)
    if options.output == "json":
        output.as_utf8()
        listed = [declaration(check, config) for check in checks.values()]
        print(json.dumps(listed, indent=2, ensure_ascii=False))
    elif options.output == "markdown":
        from cli.reference import page

        output.as_utf8()
        print(page(checks.values(), config))
    else:
        from cli.explanation import rows

        width = columns() if sys.stdout.isatty() else None
        print("\n".join(rows(checks.values(), config, width)))
    return 0


def explain_check(program: str, words: Sequence[str]) -> int:
    """Prints what a check asks and why, what it reads, its reasons and hints, its weight and settings."""
    parser = Parser(program, "Explains a check.")
    parser.add_argument("name", metavar="NAME")
    _where(parser)
    options = parser.parse_args(words)
    checks, config = _found(options.plugin_dir, options.config)
    if options.name not in checks:
        raise UsageError(f"{options.name}: no such check (there are {', '.join(checks)})")
    from cli.explanation import explanation

    print(explanation(checks[options.name], config, columns()))
    return 0


def declaration(check: Check, config: Config) -> dict[str, object]:
    """Returns a check's declaration in JSON's types, with what is in force."""
    thresholds = config.thresholds(check)
    return {
        "name": check.name,
        "question": check.question,
        "description": check.description,
        "weight": config.weight(check).value,
        "reads": list(check.reads),
        "source": check.source,
        "timeoutSeconds": config.seconds(check),
        "needs": list(check.needs),
        "after": list(check.after),
        "reasons": [
            {"reason": one.reason, "status": one.status.value, **({"hint": one.hint} if one.hint else {})}
            for one in check.outcomes
        ],
        "settings": [
            {
                "name": one.name,
                "value": thresholds[one.name],
                "default": one.default,
                "description": one.description,
            }
            for one in check.settings
        ],
    }


def _where(parser: Parser) -> None:
    parser.option("--config", str, default="", metavar="FILE", help="configuration (TOML) to show in force")
    parser.option("--plugin-dir", str, default="", metavar="DIR", help="directory of executable checks")


def _found(plugin_dir: str, config: str) -> tuple[Mapping[str, Check], Config]:
    """Returns the checks that there are, by name in the order of a report, and what is configured.

    Raises:
        UsageError: The directory or the configuration cannot be used.
    """
    from preflight.config import ConfigError, load
    from preflight.discovery import discover

    try:
        checks = discover(plugin_dir=plugin_dir or None)
        return {check.name: check for check in checks}, load(config or None, checks)
    except ConfigError as error:
        raise UsageError(str(error)) from error
