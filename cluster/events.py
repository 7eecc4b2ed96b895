"""Events: what happened to an object, for the people who run ``kubectl describe``.

core/v1 Events as client-go's recorder forms and counts them: what is told of an object again within ten
minutes, word for word, is one Event that counts (client-go, tools/record/events_cache.go). Whoever records
does so at transitions only, so this is for what comes and goes again and again.
"""

import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cluster import shapes
from cluster.errors import ApiError, one_line
from cluster.resources import EVENTS, Resource
from cluster.transport import Client

logger = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]

TIMEOUT = 5.0
"""Seconds that an Event may cost; losing one is better than holding up what it is about."""
AGAIN = timedelta(minutes=10)
"""How long after an Event the same news is counted on it (client-go, defaultAggregateIntervalInSeconds)."""
REMEMBERED = 4096
"""Events that can still be counted on (client-go, maxLruCacheEntries)."""
MAX_MESSAGE = 1024
"""Characters (k8s.io/kubernetes, pkg/apis/core/validation/events.go)."""
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def reference(resource: Resource, name: str, *, namespace: str = "", uid: str = "") -> dict[str, str]:
    """Returns an ObjectReference.

    Args:
        resource: The object's resource.
        name: Its name.
        namespace: Its namespace; empty where it has none.
        uid: Its UID: `kubectl describe` finds an object's Events by it.
    """
    given = {"namespace": namespace, "uid": uid}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name,
        **{key: value for key, value in given.items() if value},
    }


@dataclass(frozen=True, slots=True)
class _Written:
    """An Event that was written."""

    path: str
    count: int
    at: datetime


class EventRecorder:
    """Writes Events; never raises. For one thread.

    Args:
        client: Calls to the API server.
        component: Who reports.
        instance: Which of them: the pod's or node's name.
        now: The time of day.
    """

    def __init__(
        self,
        client: Client,
        component: str,
        *,
        instance: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client.limited(timeout=TIMEOUT)
        self._component = component
        self._instance = instance
        self._now = now
        self._written: dict[tuple[str, ...], _Written] = {}

    def record(
        self, involved_object: Mapping[str, str], event_type: EventType, reason: str, message: str
    ) -> bool:
        """Writes one Event into the object's namespace, ``default`` for an object without one, or counts it.

        Args:
            involved_object: What it is about, as `reference` gives it.
            event_type: ``Normal`` or ``Warning``.
            reason: CamelCase word.
            message: One line for a person; cut at 1024 characters.

        Returns:
            Whether it was written; why not is logged.
        """
        moment = self._now()
        line = one_line(message)[:MAX_MESSAGE]
        key = (*involved_object.values(), event_type, reason, line)
        try:
            written = self._count(self._written.pop(key, None), moment) or self._create(
                involved_object, event_type, reason, line, moment
            )
        except ApiError as error:
            logger.warning("the Event %s on %s is lost: %s", reason, involved_object["name"], error)
            return False
        self._written[key] = written
        if len(self._written) > REMEMBERED:
            del self._written[next(iter(self._written))]
        return True

    def _count(self, before: _Written | None, moment: datetime) -> _Written | None:
        """Counts an Event once more; None where there is none to be counted on (any more)."""
        if before is None or moment - before.at > AGAIN:
            return None
        count = before.count + 1
        try:
            self._client.patch(before.path, {"count": count, "lastTimestamp": shapes.timestamp(moment)})
        except ApiError as error:
            if error.not_found:
                return None
            raise
        return _Written(before.path, count, moment)

    def _create(
        self, involved_object: Mapping[str, str], event_type: str, reason: str, line: str, moment: datetime
    ) -> _Written:
        name = event_name(involved_object["name"], moment)
        namespace = involved_object.get("namespace") or "default"
        body = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": dict(involved_object),
            "type": event_type,
            "reason": reason,
            "message": line,
            "source": {"component": self._component, **({"host": self._instance} if self._instance else {})},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
            "firstTimestamp": shapes.timestamp(moment),
            "lastTimestamp": shapes.timestamp(moment),
            "count": 1,
        }
        self._client.create(EVENTS.path(namespace=namespace), body)
        return _Written(EVENTS.path(name, namespace=namespace), 1, moment)


def event_name(name: str, moment: datetime) -> str:
    """Returns an Event's name: the object's with the time in nanoseconds; random where that is no name."""
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = (since_epoch.days * 86_400 + since_epoch.seconds) * 10**9 + since_epoch.microseconds * 1000
    formed = f"{name}.{nanoseconds:x}"
    return formed if len(formed) <= 253 and _SUBDOMAIN.fullmatch(formed) else str(uuid.uuid4())
