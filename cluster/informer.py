"""List-and-watch: a cache of one resource, projected to what is needed, kept current by a thread of its own.

The protocol is that of the Kubernetes API concepts page ("Efficient detection of changes"): list, watch from
the list's resource version, go on from the last version seen when a stream ends, list again when that version
is gone (410, as HTTP status or as an ``ERROR`` event) or when the stream holds something that is no event.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from cluster import shapes
from cluster.backoff import Backoff
from cluster.errors import MALFORMED, ApiError
from cluster.resources import Resource
from cluster.transport import Client

T = TypeVar("T")

logger = logging.getLogger(__name__)

READ_TIMEOUT = 90.0
"""Seconds without a byte after which a stream is given up: the API server sends a bookmark every minute."""
WATCH_SECONDS = 300
"""Least age at which the server is asked to end a stream; drawn up to twice this, as client-go does, so that
the watches of many clients, begun together, do not end together."""
SHORT_STREAM = 1.0
"""Seconds: a stream that ends sooner without an event has failed, else it would be opened in a loop."""
STOP_TIMEOUT = 0.25
"""Seconds within which `Informer.stop` returns: several are stopped one after another, in a process that has
two seconds to end."""


class Informer(Generic[T]):
    """The current objects of a resource, as far as the API server has told.

    Args:
        client: Calls to the API server.
        resource: What to watch.
        project: Makes of an object what is kept of it, while it is decoded. An object on which it raises is
            logged and left out.
        namespace: Only objects in this namespace; empty for all.
        name: Only the object of this name.
        label_selector: Only objects that it selects.
        on_change: Called, in the informer's thread, when an item appeared, went, or is no longer equal to
            what it was, and when the first list is complete. It says *look again* and no more, and must
            return at once: `threading.Event.set` is what it is made for.
        on_restart: Called when a stream that failed is to be opened again or the list to be made again.
        read_timeout: Seconds without a byte after which a stream is given up.
        backoff: Delays after failures.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        project: Callable[[Mapping[str, object]], T],
        *,
        namespace: str = "",
        name: str = "",
        label_selector: str = "",
        on_change: Callable[[], None],
        on_restart: Callable[[], None] | None = None,
        read_timeout: float = READ_TIMEOUT,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client.limited(attempts=1)
        self._resource = resource
        self._path = resource.path(namespace=namespace)
        self._project = project
        self._selectors = {
            **({"fieldSelector": f"metadata.name={name}"} if name else {}),
            **({"labelSelector": label_selector} if label_selector else {}),
        }
        self._on_change = on_change
        self._on_restart = on_restart or (lambda: None)
        self._read_timeout = read_timeout
        self._backoff = backoff or Backoff(base=0.5, cap=30.0, random=random.random)
        self._clock = clock
        self._lock = threading.Lock()
        self._items: dict[str, T] = {}
        self._version = ""
        self._error = "not started"
        self._opened: float | None = None
        self._delivered = False
        self._synced = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"informer-{resource.plural}", daemon=True)

    @property
    def synced(self) -> bool:
        """Whether the first list is complete; stays true."""
        return self._synced.is_set()

    @property
    def error(self) -> str:
        """Why the cache may be behind, one line; empty while a stream is open."""
        return self._error

    def wait_synced(self, timeout: float) -> bool:
        """Waits for the first list; returns whether it is complete."""
        return self._synced.wait(timeout)

    def items(self) -> dict[str, T]:
        """Returns all items by ``namespace/name``, or by ``name`` where objects have no namespace."""
        with self._lock:
            return dict(self._items)

    def get(self, key: str) -> T | None:
        """Returns one item."""
        with self._lock:
            return self._items.get(key)

    def start(self) -> None:
        """Starts the thread; once."""
        self._error = "not listed yet"
        self._thread.start()

    def stop(self) -> None:
        """Stops, also out of a blocked read, and returns within `STOP_TIMEOUT`.

        A thread that hangs while it connects is left behind; it changes nothing any more and ends by itself.
        """
        self._stopping.set()
        deadline = self._clock() + STOP_TIMEOUT
        while self._thread.is_alive() and self._thread is not threading.current_thread():
            self._client.interrupt(self._thread)
            self._thread.join(0.02)
            if self._clock() > deadline:
                logger.info("%s: the informer's thread is left behind", self._path)
                return

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            resuming = bool(self._version)
            error = self._list_and_watch()
            if self._stopping.is_set():
                return
            # After an outage the server is back and only our place is lost: that is no further failure.
            lost_place = resuming and error is not None and error.gone
            if self._was_healthy() or lost_place:
                failures = 0
                if error is None:
                    continue
            failures += 1
            self._error = str(error) if error else f"WATCH {self._path}: the stream ended at once"
            delay = self._backoff.delay(failures, error.retry_after if error else None)
            what = "resuming" if self._version else "listing again"
            logger.warning("%s; %s in %.1f s", self._error, what, delay)
            self._on_restart()
            self._stopping.wait(delay)

    def _list_and_watch(self) -> ApiError | None:
        self._opened, self._delivered = None, False
        try:
            if not self._version:
                self._list()
            self._watch()
        except ApiError as error:
            if error.gone or error.reason == MALFORMED:
                self._version = ""
            return error
        except Exception as error:
            # A thread that ended here would leave a cache that looks alive and is not.
            logger.exception("%s: watching failed", self._path)
            self._version = ""
            return ApiError(0, type(error).__name__, str(error), request=f"WATCH {self._path}")
        return None

    def _was_healthy(self) -> bool:
        """Tells whether the last stream was worth opening, so that back-off starts anew."""
        lasted = self._opened is not None and self._clock() - self._opened >= SHORT_STREAM
        return self._delivered or lasted

    def _open(self) -> None:
        self._opened = self._clock()
        self._error = ""

    def _list(self) -> None:
        found: dict[str, T] = {}
        version = ""
        for page in self._client.pages(self._path, params=self._selectors):
            version = shapes.text(page, "metadata", "resourceVersion")
            for obj in shapes.items(page, "items"):
                self._keep(found, obj)
        if not version:
            raise ApiError(0, MALFORMED, "the list has no resourceVersion", request=f"LIST {self._path}")
        if self._stopping.is_set():
            return
        with self._lock:
            changed = self._items != found
            self._items = found
        self._version = version
        first = not self._synced.is_set()
        self._synced.set()
        if changed or first:
            self._on_change()

    def _watch(self) -> None:
        params = {
            **self._selectors,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(WATCH_SECONDS * (1 + self._backoff.random()))),
        }
        events = self._client.watch(
            self._path, params=params, read_timeout=self._read_timeout, on_open=self._open
        )
        for kind, obj in events:
            if self._stopping.is_set():
                return
            version = shapes.text(obj, "metadata", "resourceVersion")
            if not version:
                raise ApiError(0, MALFORMED, "an event has no resourceVersion", request=f"WATCH {self._path}")
            if kind != "BOOKMARK":
                self._take(kind, obj)
            self._version = version
            self._delivered = True

    def _take(self, kind: str, obj: Mapping[str, object]) -> None:
        key = shapes.key(obj)
        found: dict[str, T] = {}
        if kind != "DELETED":
            self._keep(found, obj)
        with self._lock:
            before = self._items.get(key)
            known = key in self._items
            if key in found:
                changed = not known or before != found[key]
                self._items[key] = found[key]
            else:
                changed = known
                self._items.pop(key, None)
        if changed:
            self._on_change()

    def _keep(self, found: dict[str, T], obj: Mapping[str, object]) -> None:
        key = shapes.key(obj)
        try:
            found[key] = self._project(obj)
        except Exception:
            logger.exception("%s %s cannot be read; it is left out", self._resource.kind, key)
