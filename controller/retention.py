"""Which checks are deleted: finished automatic ones beyond the newest ten, none that the summary names."""

from collections.abc import Iterable

from cluster.shapes import text
from controller.objects import Check, WireObject
from controller.triggers import automatic

KEPT = 10


def expired(checks: Iterable[Check], runtime_status: WireObject) -> list[Check]:
    """Returns the checks to delete, the oldest first.

    Args:
        checks: The checks that exist.
        runtime_status: VMRuntime's status, as it is written.
    """
    named = {
        text(runtime_status, "preflightCheckSummary", "preflightCheckName"),
        text(runtime_status, "preflightCheckSummary", "lastCompleted", "name"),
    }
    ours = sorted((check for check in checks if automatic(check)), key=lambda check: check.age_key)
    return [check for check in ours[:-KEPT] if check.finished and check.name not in named]
