"""Structured logs on standard error: lines for a person on a terminal, JSON otherwise.

What libraries log through the standard library comes out in the same form.
"""

import logging
import os
from collections.abc import Sequence
from typing import Literal, get_args

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["console", "json"]
FORMATS: Sequence[str] = get_args(Format)
LEVELS: Sequence[str] = ("debug", "info", "warning", "error")


class Line:
    """Writes each entry with one system call, so that nothing is left half written when the process ends."""

    def __init__(self, descriptor: int) -> None:
        """Writes to ``descriptor``."""
        self._descriptor = descriptor

    def msg(self, text: str) -> None:
        """Writes one entry; a log that nobody can read any more is no reason to die."""
        try:
            os.write(self._descriptor, f"{text}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return

    debug = info = warning = error = critical = exception = log = msg


class Forward(logging.Handler):
    """Hands the standard library's log records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Logs one record with its logger's name."""
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
        )


def printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escapes control characters, which what we log of others could carry to a person's terminal."""
    return {
        key: "".join(one if one.isprintable() else repr(one)[1:-1] for one in value)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def configure(format: Format | None = None, level: str = "info", *, descriptor: int = 2) -> None:  # noqa: A002 -- the option's name
    """Sets up structlog and the standard library's logging for this process.

    Args:
        format: None for console lines on a terminal and JSON otherwise.
        level: Least level that is written, one of `LEVELS`.
        descriptor: File descriptor to write to.
    """
    terminal = os.isatty(descriptor)
    number = logging.getLevelNamesMapping()[level.upper()]
    timed: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Processor]
    if (format or ("console" if terminal else "json")) == "json":
        rendered = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # https://no-color.org: set, and not to the empty string.
        colors = terminal and not os.environ.get("NO_COLOR")
        rendered = [
            printable,
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
        ]
    structlog.configure(
        processors=timed + rendered,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: Line(descriptor),
    )
    logging.captureWarnings(capture=True)
    logging.basicConfig(handlers=[Forward()], level=max(number, logging.INFO), force=True)
