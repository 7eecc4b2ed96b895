"""Tables as ``kubectl get`` prints them: aligned columns, ages in its units. Pure."""

from collections.abc import Sequence
from datetime import datetime

NONE = "<none>"
GAP = 3
DAY, HOUR, MINUTE = 86400, 3600, 60


def widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Returns the width of each column of a table."""
    return [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]


def line(cells: Sequence[str], widest: Sequence[int]) -> str:
    """Returns a row, its columns as wide as said or as they must be."""
    *padded, last = cells
    return "".join(f"{cell:<{wide}}{'':{GAP}}" for cell, wide in zip(padded, widest, strict=False)) + last


def age(since: datetime | None, now: datetime) -> str:
    """Returns how long ago something was, as kubectl does (apimachinery: duration.HumanDuration)."""
    if since is None:
        return NONE
    seconds = max(int((now - since).total_seconds()), 0)
    if seconds < 2 * MINUTE:
        return f"{seconds}s"
    if seconds < 3 * HOUR:
        minutes, rest = divmod(seconds, MINUTE)
        return f"{minutes}m{rest}s" if minutes < 10 and rest else f"{minutes}m"
    if seconds < 2 * DAY:
        hours, rest = divmod(seconds // MINUTE, 60)
        return f"{hours}h{rest}m" if hours < 8 and rest else f"{hours}h"
    if seconds < 2 * 365 * DAY:
        days, rest = divmod(seconds // HOUR, 24)
        return f"{days}d{rest}h" if days < 8 and rest else f"{days}d"
    years, rest = divmod(seconds // DAY, 365)
    return f"{years}y{rest}d" if years < 8 and rest else f"{years}y"
