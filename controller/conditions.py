"""Standard conditions (meta/v1 Condition): built anew on each look, with the time of the last change kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cluster.shapes import items, text, timestamp
from controller.objects import WireObject

MAX_MESSAGE = 4096
"""Characters; the API conventions allow 32768."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as it stands now.

    Attributes:
        kind: Its type.
        holds: Its status.
        reason: CamelCase word.
        message: One line for a person.
    """

    kind: str
    holds: bool
    reason: str
    message: str


def merge(
    current: Iterable[Condition], status: WireObject, *, generation: int, now: datetime
) -> list[dict[str, object]]:
    """Returns ``conditions`` in wire form.

    Args:
        current: What holds now.
        status: The status as it stands, for the time of each condition's last change.
        generation: The object's generation that they were built from.
        now: The present.
    """
    before = {text(one, "type"): one for one in items(status, "conditions")}
    merged: list[dict[str, object]] = []
    for one in current:
        value = "True" if one.holds else "False"
        old = before.get(one.kind)
        changed = text(old, "lastTransitionTime") if old and text(old, "status") == value else ""
        merged.append(
            {
                "type": one.kind,
                "status": value,
                "reason": one.reason,
                "message": one.message[:MAX_MESSAGE],
                "observedGeneration": generation,
                "lastTransitionTime": changed or timestamp(now),
            }
        )
    return merged


def without_messages(status: WireObject) -> dict[str, object]:
    """Returns ``status`` with its conditions' messages left out, to tell news from wording."""
    bare = [
        {key: value for key, value in one.items() if key != "message"} for one in items(status, "conditions")
    ]
    return {**status, "conditions": bare}
