"""When this process did or saw something: kept on a clock that nobody sets, told by the clock of the day.

What is waited for is measured by these and not by the times that objects carry: another machine wrote those,
whose clock may be an hour apart, and our own may be set while we wait.
"""

import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta


class Moments:
    """Moments by name.

    Args:
        now: The time of day.
        clock: Monotonic seconds.
    """

    def __init__(self, now: Callable[[], datetime], clock: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._clock = clock
        self._at: dict[str, float] = {}

    def note(self, name: str) -> None:
        """Notes that something happens now."""
        self._at[name] = self._clock()

    def first(self, name: str) -> datetime:
        """Returns when something was seen first, which is now where it was not before."""
        self._at.setdefault(name, self._clock())
        return self._told(name)

    def get(self, name: str) -> datetime | None:
        """Returns when something happened; None where it did not."""
        return self._told(name) if name in self._at else None

    def forget(self, name: str) -> None:
        """Forgets a moment."""
        self._at.pop(name, None)

    def forget_all_but(self, names: Collection[str]) -> None:
        """Forgets what is not named."""
        self._at = {name: at for name, at in self._at.items() if name in names}

    def _told(self, name: str) -> datetime:
        return self._now() - timedelta(seconds=self._clock() - self._at[name])
