"""An informer's cache together with our own writes, and with what we listed, that it has not seen yet.

Without them a look right after a write would find the old object and decide the same thing again. An own
write counts until the informer shows that version or a newer one; an object that we created or deleted counts
as there or gone for a short time, until the informer says so too. One that a list lacks is gone.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from cluster import shapes

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds within which an informer is expected to show that an object appeared or went."""


class Source(Protocol[T]):
    """What a cache stands on: `cluster.informer.Informer`."""

    def items(self) -> dict[str, T]:
        """Returns all items by key."""

    def get(self, key: str) -> T | None:
        """Returns one item."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which version of which object an item is."""

    uid: str
    resource_version: str

    def supersedes(self, other: "Identity") -> bool:
        """Tells whether this is the later version of the two.

        Versions of one resource are ordered integers (Kubernetes API concepts, "Resource version semantics"
        as of KEP-5504, and etcd revisions before that). One that is no number tells nothing.
        """
        try:
            return int(self.resource_version) > int(other.resource_version)
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class _Write(Generic[T]):
    """An own write, or what a list told; ``item`` is None where the object is gone."""

    item: T | None
    identity: Identity
    new: bool
    at: float


class Cache(Generic[T]):
    """The objects of a resource as they are, as far as the API server has told us in any way.

    Args:
        informer: What the API server tells about others' writes.
        project: Makes an item of an object, as the informer does.
        identify: Returns an item's identity.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        informer: Source[T],
        project: Callable[[Mapping[str, object]], T],
        identify: Callable[[T], Identity],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._informer = informer
        self._project = project
        self._identify = identify
        self._clock = clock
        self._writes: dict[str, _Write[T]] = {}

    def items(self) -> dict[str, T]:
        """Returns all items by ``namespace/name``, or ``name`` where objects have no namespace."""
        items = self._informer.items()
        for key, write in list(self._writes.items()):
            known = items.get(key)
            if self._is_settled(write, known):
                del self._writes[key]
            elif write.item is None:
                items.pop(key, None)
            else:
                items[key] = write.item
        return items

    def seen(self) -> dict[str, T]:
        """Returns what the informer shows, without our own writes; for other threads than the writer's."""
        return self._informer.items()

    def wrote(self, wire: Mapping[str, object]) -> None:
        """Notes an object as the API server returned it on a write."""
        key = shapes.key(wire)
        self._note(key, self._project(wire), new=self._informer.get(key) is None)

    def listed(self, wires: Iterable[Mapping[str, object]]) -> None:
        """Notes what is news in a list of all objects, and what is gone.

        Args:
            wires: The objects as the API server lists them now: asked for by iterating, not before.
        """
        shown = self._informer.items()
        gone = self.items()
        for wire in wires:
            key = shapes.key(wire)
            item, before = self._project(wire), gone.pop(key, None)
            if before is None or self._identify(item).supersedes(self._identify(before)):
                self._note(key, item, new=key not in shown)
        for key, item in gone.items():  # for good: an object that is made anew has another unique id
            self._writes[key] = _Write(None, self._identify(item), new=False, at=math.inf)

    def deleted(self, key: str, item: T) -> None:
        """Notes that an item was deleted, or is known to be gone."""
        self._writes[key] = _Write(None, self._identify(item), new=False, at=self._clock())

    def _note(self, key: str, item: T, *, new: bool) -> None:
        self._writes[key] = _Write(item, self._identify(item), new=new, at=self._clock())

    def _is_settled(self, write: _Write[T], known: T | None) -> bool:
        late = self._clock() - write.at > PATIENCE
        if write.item is None:
            return late or known is None or self._identify(known).uid != write.identity.uid
        if known is None:  # not shown yet, or deleted since by somebody else
            return late or not write.new
        return not write.identity.supersedes(self._identify(known))
