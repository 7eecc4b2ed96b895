"""The API server's version, asked for now and then: nobody tells when it changes."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from cluster.shapes import text
from cluster.transport import ApiError, Client
from controller.objects import MAX_VERSION

log = structlog.get_logger()

VERSION_PATH = "/version"
"""What every authenticated user may read (the bootstrap role system:public-info-viewer)."""
TIMEOUT = 3.0
"""Seconds that the answer may take: the loop waits for it."""
OFTEN = 6
"""Questions within the time of quiet, while a version has changed: API servers that are upgraded one by one
answer in turn with the old and the new version, which is not quiet."""


class ApiServerVersion:
    """The API server's version as it was heard last.

    Args:
        client: Calls to the API server.
        now: The time of day.
        every: Time between two questions.
        quiet: Time in which a changed version has to stay the same.
    """

    def __init__(
        self, client: Client, now: Callable[[], datetime], *, every: timedelta, quiet: timedelta
    ) -> None:
        self._client = client.limited(timeout=TIMEOUT)
        self._now = now
        self._every = every
        self._quiet = quiet
        self._asked: datetime | None = None
        self._version = ""
        self._trouble = ""

    def ask_again(self) -> None:
        """Has the next look ask: a watch broke off, as it does when an API server ends; from any thread."""
        self._asked = None

    def look(self, *, changed: bool) -> str:
        """Returns the version; empty as long as none was heard.

        Args:
            changed: It is another one than was acted on, and is waited for to be quiet.
        """
        now = self._now()
        often = changed or bool(self._trouble)
        every = min(self._every, self._quiet / OFTEN) if often else self._every
        asked = self._asked  # which another thread may take away
        if asked is not None and asked <= now < asked + every:
            return self._version
        self._asked = now
        try:
            answer = self._client.get(VERSION_PATH)
        except ApiError as error:
            if str(error) != self._trouble:
                log.warning("the API server does not tell its version", error=str(error))
            self._trouble = str(error)
        else:
            self._version = text(answer, "gitVersion")[:MAX_VERSION] or self._version
            self._trouble = ""
        return self._version
