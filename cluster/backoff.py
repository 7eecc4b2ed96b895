"""How long to wait before trying again: exponential, fully jittered, never sooner than the server asks."""

from collections.abc import Callable
from dataclasses import dataclass

MAX_RETRY_AFTER = 30.0
"""Seconds: a longer ``Retry-After`` is cut to this, so that a wrong header cannot stop us for an hour."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of successive failures.

    The delay is drawn from all of ``[0, limit)``: after an API server's restart all agents of a cluster come
    back at once, and a narrow jitter would keep them together.

    Attributes:
        base: Limit of the first delay, in seconds; doubled with each failure.
        cap: Greatest limit, in seconds.
        random: Draws from [0, 1).
    """

    base: float
    cap: float
    random: Callable[[], float]

    def delay(self, failures: int, retry_after: float | None = None) -> float:
        """Returns seconds to wait after the ``failures``-th failure in a row, counted from 1.

        Args:
            failures: Failures in a row.
            retry_after: What the server asked for, in seconds: waited in full up to `MAX_RETRY_AFTER`, and
                the jitter comes on top, because all clients are told the same.
        """
        doublings = min(max(failures, 1) - 1, 32)
        jitter = self.random() * min(self.cap, self.base * 2.0**doublings)
        return min(max(retry_after or 0.0, 0.0), MAX_RETRY_AFTER) + jitter
