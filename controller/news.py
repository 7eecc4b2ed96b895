"""What people are told of, kept until it is written as Events: last, so that it holds nothing up for long."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from cluster.events import EventType, reference
from cluster.resources import NODES
from controller.actions import Announcement

log = structlog.get_logger()

SECONDS = 1.0
"""For the Events of one look: thousands of nodes that fail together have theirs written look by look."""


class Recorder(Protocol):
    """Writes an Event; `cluster.events.EventRecorder` in earnest."""

    def record(
        self, involved_object: Mapping[str, str], event_type: EventType, reason: str, message: str
    ) -> bool:
        """Returns whether it was written."""


class News:
    """What is still to be told. For one thread.

    Args:
        recorder: Writes Events.
        clock: Monotonic seconds.
    """

    def __init__(self, recorder: Recorder, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._recorder = recorder
        self._clock = clock
        self._left: deque[tuple[Mapping[str, str], Announcement]] = deque()

    def add(self, about: Mapping[str, str], what: Announcement) -> None:
        """Has something told of an object, as `cluster.events.reference` names it."""
        self._left.append((about, what))

    def add_of_node(self, name: str, uid: str, what: Announcement) -> None:
        """Has something told of a node."""
        self.add(reference(NODES, name, uid=uid), what)

    def tell(self, stop: threading.Event) -> bool:
        """Writes Events for a while; what is left after it is lost where the API server takes none now.

        Returns:
            Whether some are left to be written.
        """
        end = self._clock() + SECONDS
        while self._left and not stop.is_set():
            about, what = self._left.popleft()
            written = self._recorder.record(about, what.kind, what.reason, what.message)
            if self._clock() < end:
                continue
            if written or not self._left:
                break
            log.warning("Events are lost, since writing them takes too long", events=len(self._left))
            self._left.clear()
        return bool(self._left)
