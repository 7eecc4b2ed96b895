"""Reads fields of objects that somebody else wrote, whatever they hold.

A schema is enforced by the API server only where it knows one, and never in what an old version left behind:
so a field of another type than expected counts as absent, and nothing here raises.
"""

from collections.abc import Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, datetime

_EMPTY: Mapping[str, object] = {}


def at(obj: object, *path: str) -> object:
    """Returns the value below ``path``, None where a step is missing or not a mapping."""
    for step in path:
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(step)
    return obj


def text(obj: object, *path: str, default: str = "") -> str:
    """Returns a string field."""
    value = at(obj, *path)
    return value if isinstance(value, str) else default


def flag(obj: object, *path: str, default: bool = False) -> bool:
    """Returns a boolean field; nothing but true and false counts."""
    value = at(obj, *path)
    return value if isinstance(value, bool) else default


def number(obj: object, *path: str, default: int = 0) -> int:
    """Returns an integer field; JSON's ``3.0`` is an integer to the API server too, true is not."""
    value = at(obj, *path)
    if isinstance(value, bool):
        return default
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else default


def mapping(obj: object, *path: str) -> Mapping[str, object]:
    """Returns a field that holds an object, empty where it does not."""
    value = at(obj, *path)
    return value if isinstance(value, Mapping) else _EMPTY


def texts(obj: object, *path: str) -> Mapping[str, str]:
    """Returns a field that maps strings to strings (labels, annotations), without entries of other types."""
    return {key: value for key, value in mapping(obj, *path).items() if isinstance(value, str)}


def items(obj: object, *path: str) -> Sequence[Mapping[str, object]]:
    """Returns the objects in a field that holds a list, without entries of other types."""
    return [entry for entry in sequence(obj, *path) if isinstance(entry, Mapping)]


def words(obj: object, *path: str) -> tuple[str, ...]:
    """Returns the strings in a field that holds a list, without entries of other types."""
    return tuple(entry for entry in sequence(obj, *path) if isinstance(entry, str))


def sequence(obj: object, *path: str) -> Sequence[object]:
    """Returns a field that holds a list, empty where it does not."""
    value = at(obj, *path)
    return value if isinstance(value, list | tuple) else ()


def time(obj: object, *path: str) -> datetime | None:
    """Returns a ``Time`` or ``MicroTime`` field (RFC 3339) in UTC, None where it is not one.

    The first year is none (Go writes it for no time at all), nor is the last, to which no delay can be added.
    """
    try:
        parsed = datetime.fromisoformat(text(obj, *path))
        moment = parsed.astimezone(UTC) if parsed.tzinfo else None
    except (ValueError, OverflowError):
        return None
    return moment if moment is not None and MINYEAR < moment.year < MAXYEAR else None


def timestamp(moment: datetime) -> str:
    """Returns the wire form of a ``Time``: RFC 3339, UTC, whole seconds."""
    return _utc(moment, "seconds")


def micro_timestamp(moment: datetime) -> str:
    """Returns the wire form of a ``MicroTime``: RFC 3339, UTC, microseconds."""
    return _utc(moment, "microseconds")


def _utc(moment: datetime, resolution: str) -> str:
    # Not strftime: it writes years before 1000 with fewer than four digits.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=resolution) + "Z"


def key(obj: object) -> str:
    """Returns ``namespace/name``, or ``name`` for a cluster-scoped object."""
    namespace, name = text(obj, "metadata", "namespace"), text(obj, "metadata", "name")
    return f"{namespace}/{name}" if namespace else name
