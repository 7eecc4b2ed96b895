"""Ends a ``KVM_RUN`` that does not end by itself.

A guest that loops for ever leaves the kernel only when a signal comes: ``KVM_RUN`` then answers EINTR
(kernel: Documentation/virt/kvm/api.rst). One signal is not enough: where it comes just before the vCPU is
entered, it is lost for the run. An interval timer sends it again and again.
"""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

INTERVAL = 0.05
"""Seconds between two signals once the time has passed."""


class TimeLimit:
    """Interrupts system calls of this thread with SIGALRM after some time.

    Works in the main thread only (signal(7)): a check runs in the main thread of a process of its own. The
    handler and the timer that were there before are put back.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """Allows ``seconds`` by ``clock``, a monotonic clock in seconds."""
        self._seconds = seconds
        self._clock = clock
        self._started = 0.0

    def expired(self) -> bool:
        """Whether the time has passed."""
        return self._clock() - self._started >= self._seconds

    def __enter__(self) -> Self:
        """Starts the timer.

        Raises:
            ValueError: This is not the main thread.
        """
        self._started = self._clock()
        self._handler = signal.signal(signal.SIGALRM, _ignore)
        self._timer = signal.setitimer(signal.ITIMER_REAL, self._seconds, INTERVAL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Puts back what was there."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._handler)
        delay, interval = self._timer
        if delay:
            left = delay - (self._clock() - self._started)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001), interval)


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler that does nothing: SIG_IGN would not interrupt the call."""
