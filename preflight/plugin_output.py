"""What an executable check says on standard output: a line of text, or one object of JSON. Pure.

It never decides how the check ended: the exit status alone does. So whatever is wrong here costs words, and
is told, but makes no other answer.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from preflight.report import NAME
from preflight.result import one_line

MAX_MESSAGE = 1024
"""Bytes of a message, in UTF-8."""


class Said(NamedTuple):
    """What was said.

    Attributes:
        message: One line, empty where nothing was said.
        reason: CamelCase word of its own, if it gave one.
        hint: What to do, if it said so.
        complaint: What could not be used and why, empty where all could.
    """

    message: str
    reason: str | None = None
    hint: str | None = None
    complaint: str = ""


def parse(output: bytes) -> Said:
    """Reads the beginning of what a check wrote."""
    text = output.strip()
    line = text.partition(b"\n")[0][: 8 * MAX_MESSAGE].decode("utf-8", "replace")
    if not text.startswith(b"{"):
        return Said(_message(line))
    try:
        fields: dict[str, object] = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        problem = str(error) if isinstance(error, ValueError) else "nested too deeply"
        return Said(_message(line), complaint=one_line(f"begins like JSON and is none: {problem}", 256))
    said = {key: value for key in ("reason", "message", "hint") if isinstance(value := fields.get(key), str)}
    reason = said.get("reason")
    return Said(
        _message(said.get("message", "")),
        reason if reason is not None and NAME.fullmatch(reason) else None,
        one_line(said.get("hint", "")) or None,
        "; ".join(_complaints(fields)),
    )


def _complaints(fields: dict[str, object]) -> Iterator[str]:
    """Tells which of the fields that have a meaning hold something else; null is as good as absent."""
    for key in ("reason", "message", "hint"):
        value = fields.get(key)
        if value is not None and not isinstance(value, str):
            yield f"{key} is no text"
        elif key == "reason" and isinstance(value, str) and not NAME.fullmatch(value):
            yield f"reason {one_line(value, 80)!r} is no CamelCase word of at most 63 characters"


def _message(text: str) -> str:
    """Makes text one line that is short enough."""
    encoded = one_line(text).encode()
    if len(encoded) <= MAX_MESSAGE:
        return encoded.decode()
    return encoded[: MAX_MESSAGE - len("…".encode())].decode("utf-8", "ignore") + "…"
