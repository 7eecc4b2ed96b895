"""Outcomes that a check declares, findings that it returns, and results that a report holds.

A check declares each `Outcome` once (status, reason, hint) and returns one of them as a `Finding`. Judging a
finding by its check's weight (`preflight.verdict`) makes it a `Result`: the shape that users, the API server
and Prometheus see.

Records are named tuples in this room: with dataclasses, ``vm-preflight run`` took 27 ms longer from cold.
"""

from collections.abc import Mapping
from enum import StrEnum
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

MAX_TEXT = 2048
"""Characters of a message, a hint or a value of evidence."""

MAX_KEY = 256
"""Characters of a key of evidence: most are paths."""

MAX_EVIDENCE = 64
"""Entries of a result's evidence."""

MAX_SECONDS = 86400.0
"""The longest time that a check can be given, or be said to have taken: a day."""

NO_EVIDENCE: Mapping[str, str] = MappingProxyType({})


class Status(StrEnum):
    """How a check ended; `UNKNOWN` (it could not be told) is never a pass."""

    PASS = "Pass"  # noqa: S105 -- a status, not a secret
    WARN = "Warn"
    FAIL = "Fail"
    SKIP = "Skip"
    UNKNOWN = "Unknown"


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """Makes text fit for one line of a terminal, a log or an API object, whoever wrote it.

    White space is collapsed, what cannot be printed (escape sequences, lone surrogates) becomes U+FFFD, and
    what is longer than ``limit`` characters is cut and ends in an ellipsis.
    """
    some = text[: 4 * limit]
    line = " ".join(some.split())
    if not line.isprintable():
        line = "".join(character if character.isprintable() else "\ufffd" for character in line)
    if len(line) > limit or len(some) < len(text):
        return line[: limit - 1] + "…"
    return line


class Outcome(NamedTuple):
    """One way in which a check can end, declared once and called to make a finding.

    Attributes:
        status: How the check ended.
        reason: CamelCase word that machines match on; part of the check's closed list.
        hint: What to do about it, a command where there is one; always there on Fail and Unknown.
        blocking: The outcome fails the node whatever the weight of its check.
    """

    status: Status
    reason: str
    hint: str | None = None
    blocking: bool = False

    def __call__(
        self, message: str, *, hint: str | None = None, evidence: Mapping[str, str] | None = None
    ) -> "Finding":
        """Makes a finding of this outcome.

        Args:
            message: One line: what was tried and what came back.
            hint: A hint more exact than the declared one, such as a command with this host's numbers in it.
            evidence: What was read: path to value, errno name, device number.
        """
        return Finding(
            self,
            one_line(message),
            one_line(hint or "") or self.hint,
            {
                one_line(key, MAX_KEY): one_line(value)
                for key, value in islice((evidence or NO_EVIDENCE).items(), MAX_EVIDENCE)
            },
        )


def passing(reason: str) -> Outcome:
    """Declares an outcome of status Pass."""
    return Outcome(Status.PASS, reason)


def warning(reason: str, *, hint: str | None = None) -> Outcome:
    """Declares an outcome of status Warn."""
    return Outcome(Status.WARN, reason, hint)


def failing(reason: str, *, hint: str, blocking: bool = False) -> Outcome:
    """Declares an outcome of status Fail."""
    return Outcome(Status.FAIL, reason, hint, blocking)


def skipping(reason: str) -> Outcome:
    """Declares an outcome of status Skip: the question does not apply to this host."""
    return Outcome(Status.SKIP, reason)


def unknown(reason: str, *, hint: str) -> Outcome:
    """Declares an outcome of status Unknown: it could not be told."""
    return Outcome(Status.UNKNOWN, reason, hint)


class Finding(NamedTuple):
    """What a check found, before its weight is applied.

    Attributes:
        outcome: The declared outcome; tests compare it by identity.
        message: One line for a person.
        hint: What to do.
        evidence: What was read.
    """

    outcome: Outcome
    message: str
    hint: str | None = None
    evidence: Mapping[str, str] = NO_EVIDENCE


class Result(NamedTuple):
    """A judged finding, as it stands in a report.

    Attributes:
        check_name: The check's CamelCase name.
        status: The outcome after the check's weight was applied.
        passed: Whether this result lets the node pass.
        reason: Why, from the check's closed list.
        message: One line for a person.
        hint: What to do.
        evidence: What was read.
        duration_seconds: Time the check took, in seconds.
    """

    check_name: str
    status: Status
    passed: bool
    reason: str
    message: str
    hint: str | None = None
    evidence: Mapping[str, str] = NO_EVIDENCE
    duration_seconds: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """Returns the wire form; absent hint and evidence are left out."""
        wire: dict[str, object] = {
            "checkName": self.check_name,
            "status": self.status.value,
            "passed": self.passed,
            "reason": self.reason,
            "message": self.message,
        }
        if self.hint:
            wire["hint"] = self.hint
        if self.evidence:
            wire["evidence"] = dict(self.evidence)
        wire["durationSeconds"] = round(self.duration_seconds, 6)
        return wire
