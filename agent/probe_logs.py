"""The probe's logs: the form of the other daemons' (``daemon.logs``), made by the standard library alone.

structlog and what it imports would double the probe's memory.
"""

import json
import logging
import os
import time

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Formatter(logging.Formatter):
    """Formats a record with its ``extra`` fields as one line: JSON, or words for a person."""

    def __init__(self, *, as_json: bool) -> None:
        """Chooses the form."""
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, followed by the traceback where there is one and a person reads."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        timestamp = f"{seconds}.{int(record.msecs):03}Z"
        fields = {key: value for key, value in vars(record).items() if key not in _OWN}
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self._as_json:
            entry = {"event": record.getMessage(), "level": record.levelname.lower(), "timestamp": timestamp}
            entry |= {"logger": record.name, **fields} | ({"exception": trace} if trace else {})
            return json.dumps(entry, default=repr)
        shown = "".join(f" {key}={value!r}" for key, value in fields.items())
        text = f"{timestamp} [{record.levelname.lower():<7}] {record.getMessage()}{shown}"
        line = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
        return f"{line}\n{trace}" if trace else line


class Handler(logging.Handler):
    """Writes each record with one system call to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record; a log that nobody can read any more is no reason to die."""
        try:
            os.write(2, f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return


def configure(format: str | None = None, level: str = "info") -> None:  # noqa: A002 -- the option's name
    """Sets up the standard library's logging for this process.

    Args:
        format: ``console`` or ``json``; None for console on a terminal and JSON otherwise.
        level: Least level that is written: ``debug``, ``info``, ``warning`` or ``error``.
    """
    handler = Handler()
    handler.setFormatter(Formatter(as_json=(format or ("console" if os.isatty(2) else "json")) == "json"))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
