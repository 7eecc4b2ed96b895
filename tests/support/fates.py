"""Controllers that die at a write: before one is sent, before its answer comes, or while it is on its way.

Dying is what SIGKILL does, in a thread: every call of that life ends its thread from then on. What one life
leaves on its way is carried out when its successor has gone on: the API server may take its time.
"""

import json
import threading
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import Self

from controllerlab import ControllerLab
from tapped import Call, Tapped

from cluster import shapes
from cluster.transport import ApiError, Client, Object
from controller.silence import Patience

Wire = Mapping[str, object]


class Fate(StrEnum):
    """What becomes of a life at a write."""

    BEFORE = "before it is sent"
    AFTER = "after it was carried out"
    LATE = "while it is on its way, carried out soon after"
    VERY_LATE = "while it is on its way, carried out in the end"


SOON = 2
"""Writes of the successors after which one is carried out that was soon to be."""
VOLATILE = frozenset(
    {"resourceVersion", "lastTransitionTime", "startTime", "completionTime", "deadline", "message", "name"}
    | {"firstTimestamp", "lastTimestamp"}
)
"""Fields that differ from one attempt to the next."""


def step(method: str, path: str, body: Wire | None) -> str:
    """Names a write by what it does, so that the same one of a later life is known again."""

    def bare(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: bare(one) for key, one in value.items() if key not in VOLATILE}
        return [bare(one) for one in value] if isinstance(value, list) else value

    about = shapes.text(body or {}, "involvedObject", "name")
    return f"{method} {path} {about} {json.dumps(bare(body or {}), sort_keys=True)}"


class Lives:
    """Keeps a controller alive that dies at each of its different writes, once.

    Events come last and are kept in memory alone: where every write is fatal there are none. So lives that
    die at Events die at nothing else.

    Attributes:
        steps: The writes at which one died, in order.
        refused: What the API server said to writes that came late.
    """

    def __init__(
        self,
        lab: ControllerLab,
        fate: Fate,
        *,
        at_events: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self.steps: list[str] = []
        self.refused: list[str] = []
        self._lab = lab
        self._fate = fate
        self._at_events = at_events
        self._patience = patience
        self._credentials = lab.credentials()
        self._lock = threading.Lock()
        self._writes = 0
        self._late: list[tuple[int, Call]] = []
        self._died = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lives", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._died.set()
        self._thread.join()
        self._lab.stop()

    def carry_out(self, *, before: int | None = None) -> None:
        """Carries out what is still on its way.

        Args:
            before: Only what was sent before so many writes were done; None for all.
        """
        with self._lock:
            due = [one for at, one in self._late if before is None or at <= before]
            self._late = [(at, one) for at, one in self._late if before is not None and at > before]
        with_rights = Client(self._credentials)
        for one in due:
            try:
                one.carry_out(with_rights)
            except ApiError as error:
                self.refused.append(f"{one.method} {one.path}: {error.status} {error.reason}")
        with_rights.close()

    def _keep(self) -> None:
        while True:
            self._died.clear()  # first: the end sets this event last
            if self._over.is_set():
                return
            self._lab.start(client=self._born(), patience=self._patience)
            self._died.wait()
            self._lab.stop()

    def _meets(self, write: Call) -> bool:
        """Tells whether a write is one that was not met before."""
        name = step(write.method, write.path, write.body)
        with self._lock:
            if name in self.steps or write.path.endswith("/events") != self._at_events:
                return False
            self.steps.append(name)
            return True

    def _born(self) -> Client:
        dead = threading.Event()

        def tap(call: Call, send: Callable[[], Object]) -> Object:
            if dead.is_set():
                raise SystemExit
            if call.method == "GET":
                return send()
            fatal = self._meets(call)
            if fatal and self._fate is not Fate.AFTER:
                self._die(dead, call)
            answer = send()
            if fatal:
                self._die(dead)
            self._count()
            return answer

        return Tapped(self._credentials, tap)

    def _die(self, dead: threading.Event, late: Call | None = None) -> None:
        dead.set()
        if late is not None and self._fate in (Fate.LATE, Fate.VERY_LATE):
            with self._lock:
                self._late.append((self._writes, late))
        self._died.set()
        raise SystemExit  # ends the thread at once, as SIGKILL ends the process

    def _count(self) -> None:
        with self._lock:
            self._writes += 1
            writes = self._writes
        if self._fate is Fate.LATE:
            self.carry_out(before=writes - SOON)
