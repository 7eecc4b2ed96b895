"""What the daemons' commands share: the options for logs."""

from cli.options import Parser, choice

LEVELS = ("debug", "info", "warning", "error")


def log_options(parser: Parser) -> None:
    """Adds ``--log-format`` and ``--log-level``."""
    parser.option(
        "--log-format",
        choice("json", "console"),
        default=None,
        metavar="json|console",
        help="form of the logs; console on a terminal, else json",
    )
    parser.option(
        "--log-level",
        choice(*LEVELS),
        default="info",
        metavar="|".join(LEVELS),
        help="least level that is logged",
    )
