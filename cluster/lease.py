"""Leader election on a ``coordination.k8s.io/v1`` Lease, as client-go's ``leaderelection`` does it.

Clocks are never compared between machines: whether a leader is alive is judged by how long, on our own
monotonic clock, its record has not changed. What a Lease says of times is for people.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cluster import shapes
from cluster.errors import ApiError
from cluster.resources import LEASES
from cluster.transport import Client

logger = logging.getLogger(__name__)

MAX_DURATION = 60
"""Seconds: a record that asks for more, as one that was edited by hand may, is waited for no longer."""
MOST_TRANSITIONS = 2**31
"""The API server takes 32 bits: after an edit by hand nobody could lead any more, so counting begins anew."""
RELEASE_TIMEOUT = 1.0
"""Seconds for giving the lease back: the process has two to end."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds; the defaults are client-go's.

    A leader that could not renew for ``renew_deadline`` has stopped leading before ``duration`` lets another
    one take over: the difference must outlast a call that is under way.

    Attributes:
        duration: How long a standby waits for a record to change before it takes the lease.
        renew_deadline: How long a leader goes on without a renewal.
        retry_period: Time between attempts.
    """

    duration: int = 15
    renew_deadline: float = 10.0
    retry_period: float = 2.0


@dataclass(frozen=True, slots=True)
class Record:
    """A Lease's spec.

    Attributes:
        holder: Identity of the leader; empty after a release.
        duration: Seconds that its holder asks for; 0 where it does not say.
        acquired: When the holder became leader, as written.
        renewed: When it last renewed, as written.
        transitions: How often the lease changed hands.
    """

    holder: str
    duration: int
    acquired: str
    renewed: str
    transitions: int

    @classmethod
    def of(cls, lease: Mapping[str, object]) -> "Record":
        """Reads a Lease."""
        return cls(
            holder=shapes.text(lease, "spec", "holderIdentity"),
            duration=max(shapes.number(lease, "spec", "leaseDurationSeconds"), 0),
            acquired=shapes.text(lease, "spec", "acquireTime"),
            renewed=shapes.text(lease, "spec", "renewTime"),
            transitions=max(shapes.number(lease, "spec", "leaseTransitions"), 0),
        )

    def to_dict(self) -> dict[str, object]:
        """Returns the wire form."""
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration,
            "acquireTime": self.acquired,
            "renewTime": self.renewed,
            "leaseTransitions": self.transitions,
        }


def claim(record: Record | None, identity: str, *, duration: int, moment: str) -> Record:
    """Returns the record with which ``identity`` takes or renews the lease.

    Args:
        record: What the Lease holds; None where there is no Lease.
        identity: Who takes it.
        duration: Seconds to ask for.
        moment: Now, in wire form.
    """
    ours = record is not None and record.holder == identity
    return Record(
        holder=identity,
        duration=duration,
        acquired=record.acquired if record and ours and record.acquired else moment,
        renewed=moment,
        transitions=(record.transitions + (0 if ours else 1)) % MOST_TRANSITIONS if record else 0,
    )


class Election:
    """One candidate for a Lease.

    Args:
        client: Calls to the API server.
        namespace: The Lease's namespace.
        name: The Lease's name.
        identity: Unique to this process.
        timing: Durations.
        clock: Monotonic seconds.
        now: The time of day, for the record.
        draw: Draws from [0, 1), to spread the candidates' attempts.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._collection = LEASES.path(namespace=namespace)
        self._path = LEASES.path(name, namespace=namespace)
        self._metadata = {"name": name, "namespace": namespace}
        self._identity = identity
        self._timing = timing or Timing()
        self._clock = clock
        self._now = now
        self._draw = draw
        self._observed: Record | None = None
        self._observed_at = 0.0
        self._renewed_at: float | None = None
        self._said = ""

    @property
    def leading(self) -> bool:
        """Whether the lease is ours and was renewed within the renew deadline."""
        renewed = self._renewed_at
        return renewed is not None and self._clock() - renewed < self._timing.renew_deadline

    def run(self, on_leading: Callable[[], None], stop: threading.Event) -> bool:
        """Stands by, leads, and renews in this thread until stopped or until the lease is lost.

        Args:
            on_leading: Called once, in this thread, when the lease is ours. It must return at once: the work
                belongs in another thread.
            stop: Ends the run; the lease is then given back, so the work must have ended before it is set.

        Returns:
            True when stopped, False when the lease was lost: another one may be leading, so whatever this
            process does as leader must end now.
        """
        while not self._attempt():
            if stop.wait(self._timing.retry_period * (1 + 1.2 * self._draw())):
                return True
        logger.info("%s: leading as %s", self._path, self._identity)
        try:
            on_leading()
            while not stop.wait(self._timing.retry_period):
                if not self._attempt() and not self.leading:
                    logger.error("%s: the lease is lost", self._path)
                    return False
            return True
        finally:
            if self.leading:
                self._release()
            self._renewed_at = None

    def _attempt(self) -> bool:
        """Tries once to take or renew the lease."""
        try:
            return self._take_or_renew()
        except ApiError as error:
            if not error.conflict and not error.already_exists:
                self._say(str(error))
            return False

    def _take_or_renew(self) -> bool:
        began = self._clock()
        lease = self._read()
        record = None if lease is None else Record.of(lease)
        if record != self._observed:
            self._observed, self._observed_at = record, self._clock()
        if record is not None and record.holder != self._identity:
            if self._renewed_at is not None:
                # Somebody wrote over our record, and may be leading or have led since.
                self._renewed_at = None
                return False
            duration = min(record.duration or self._timing.duration, MAX_DURATION)
            valid = self._clock() - self._observed_at < duration
            if record.holder and valid:
                self._say(f"standing by for {record.holder}")
                return False
        moment = shapes.micro_timestamp(self._now())
        wanted = claim(record, self._identity, duration=self._timing.duration, moment=moment)
        self._write(lease, wanted)
        self._observed, self._observed_at = wanted, self._clock()
        # The time before the call: others count from when the record changed, which was not earlier.
        self._renewed_at = began
        self._said = ""
        return True

    def _read(self) -> Mapping[str, object] | None:
        try:
            return self._bounded().get(self._path)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def _write(self, lease: Mapping[str, object] | None, record: Record) -> None:
        if lease is None:
            body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": self._metadata}
            self._bounded().create(self._collection, {**body, "spec": record.to_dict()})
        else:
            # With its resourceVersion: of two candidates that read the same record, one gets a conflict.
            self._bounded().replace(self._path, _with(lease, record))

    def _bounded(self) -> Client:
        """Returns a client whose call ends before another candidate may take over."""
        limit = self._timing.renew_deadline / 2
        if self._renewed_at is not None:
            left = self._timing.renew_deadline - (self._clock() - self._renewed_at)
            limit = min(limit, max(left, 0.1))
        return self._client.limited(timeout=limit)

    def _release(self) -> None:
        client = self._client.limited(timeout=RELEASE_TIMEOUT)
        try:
            lease = client.get(self._path)
            record = Record.of(lease)
            if record.holder != self._identity:
                return
            moment = shapes.micro_timestamp(self._now())
            released = Record("", 1, moment, moment, record.transitions)
            client.replace(self._path, _with(lease, released))
            logger.info("%s: released", self._path)
        except ApiError as error:
            logger.warning("the lease was not released and runs out by itself: %s", error)

    def _say(self, message: str) -> None:
        """Logs what keeps us from leading, once and not with every attempt."""
        if message != self._said:
            self._said = message
            logger.info("%s: %s", self._path, message)


def _with(lease: Mapping[str, object], record: Record) -> Mapping[str, object]:
    """Returns the Lease with another record, and what others wrote into it kept."""
    return {**lease, "spec": {**shapes.mapping(lease, "spec"), **record.to_dict()}}
