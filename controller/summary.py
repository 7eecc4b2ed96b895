"""What VMRuntime's status says of the checks: the present one, and the last that decides about VMs.

Pure. ``lastCompleted`` is what the admission policy reads: set only by a check that was made under the
present enabling, kept while the next one runs, and kept when its check object is deleted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cluster.shapes import flag, mapping, text, time, timestamp, words
from controller import runs, verdict
from controller.objects import Check, Memory, Runtime, WireObject

NONSENSE = timedelta(days=1)
"""So far ahead of ours no clock is: a time that lies further ahead was written by hand."""
MAX_MESSAGE, MAX_FEATURES, MAX_NAME = 1024, 256, 63
"""Bounds of ``lastCompleted`` in VMRuntime's schema: an admission policy's cost is estimated from them."""
MAX_TOLD = 10
"""Failed features that a sentence names."""


@dataclass(frozen=True, slots=True)
class LastCompleted:
    """The last check that ended with a verdict under the present enabling.

    Attributes:
        name: Its name.
        passed: Its verdict.
        wire: The same for VMRuntime's status.
    """

    name: str
    passed: bool
    wire: WireObject

    @property
    def cause(self) -> str:
        """Why it did not pass, in a few words: its message, else the features that failed."""
        return text(self.wire, "message") or ", ".join(words(self.wire, "failedFeatures")[:MAX_TOLD])


def recorded(status: WireObject) -> LastCompleted | None:
    """Reads ``lastCompleted`` out of a VMRuntime's status."""
    wire = mapping(status, "preflightCheckSummary", "lastCompleted")
    name = text(wire, "name")
    return LastCompleted(name, flag(wire, "passed"), wire) if name else None


def last_completed(
    runtime: Runtime, memory: Memory, checks: Iterable[Check], now: datetime
) -> LastCompleted | None:
    """Returns the check that decides about VMs.

    Args:
        runtime: The VMRuntime as it stands.
        memory: The memory after this look.
        checks: The checks that exist.
        now: The present.
    """
    if not memory.enabled:
        return None
    old = recorded(runtime.status)
    if memory.enabled_generation != runtime.memory.enabled_generation:
        old = None
    ended = {
        check.name: check
        for check in checks
        if check.passed is not None
        and check.enabled_generation == memory.enabled_generation
        and not _older(check, runtime)
    }
    newest = max(ended.values(), key=lambda check: check.age_key, default=None)
    if newest is None or newest.completion is None or newest.passed is None:
        return old
    if old is not None and old.name not in ended:  # deleted: only a check that came later takes its place
        created = time(old.wire, "creationTimestamp")
        credible = created is not None and created - now < NONSENSE
        if created is not None and credible and newest.age_key < (created.timestamp(), old.name):
            return old
    failed = _failed(newest)
    wire: dict[str, object] = {
        "name": newest.name,
        "passed": newest.passed,
        "completionTime": timestamp(newest.completion),
        **({"creationTimestamp": timestamp(newest.meta.created)} if newest.meta.created else {}),
        "failedFeatures": failed,
    }
    if not newest.passed and (not failed or newest.reason != verdict.Reason.NODES_FAILED):
        wire["message"] = newest.message[:MAX_MESSAGE] or "no reason was recorded"
    return LastCompleted(newest.name, newest.passed, wire)


def summary(checks: Iterable[Check], last: LastCompleted | None) -> dict[str, object]:
    """Returns ``preflightCheckSummary``: the running check's name alone, else all of the last finished."""
    checks = tuple(checks)
    wire: dict[str, object] = {}
    now = runs.current(checks)
    if now is not None and now.running:
        wire["preflightCheckName"] = now.name
    else:
        finished = (check for check in checks if check.finished and check.passed is not None)
        if (shown := max(finished, key=lambda check: check.age_key, default=None)) is not None:
            wire["preflightCheckName"] = shown.name
            wire["preflightCheckPassed"] = shown.passed
            wire["featureStatuses"] = dict(shown.features)
    if last is not None:
        wire["lastCompleted"] = dict(last.wire)
    return wire


def _older(check: Check, runtime: Runtime) -> bool:
    """Tells whether a check is of a former VMRuntime, whose generations were counted apart."""
    created, since = check.meta.created, runtime.meta.created
    return created is not None and since is not None and created < since


def _failed(check: Check) -> list[str]:
    failed = sorted(name for name in check.features if not flag(check.features, name, "passed"))
    return [name[:MAX_NAME] for name in failed[:MAX_FEATURES]]
