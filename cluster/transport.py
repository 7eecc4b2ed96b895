"""The verbs of the Kubernetes API, in plain dicts, with retries where repeating is safe.

What is repeated (`may_repeat`): a call that the server refused with 429 or with 503 and ``Retry-After`` (it
was not carried out), one that never reached it, and a GET whose answer got lost. A write whose answer got
lost may have been carried out, so it is left to the caller, who is level-based and looks again.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from threading import Thread
from typing import Self
from urllib.parse import urlencode

from cluster import shapes
from cluster.answers import Object, decode, event, failure, lines
from cluster.backoff import Backoff
from cluster.credentials import Credentials, in_cluster
from cluster.errors import FENCED, NO_ANSWER, UNREACHABLE, ApiError, CredentialsError
from cluster.resources import FIELD_MANAGER
from cluster.wire import Wire

__all__ = ["ApiError", "Client", "Credentials", "CredentialsError", "Object", "in_cluster", "may_repeat"]

READ_TIMEOUT = 15.0
"""Seconds without a byte after which an ordinary call is given up."""
ATTEMPTS = 5
"""Times that a call is tried; with the delays below that is a quarter of a minute at most."""
PAGE_SIZE = 500
"""Objects in one page of a list, as client-go's pager asks for: bounds what is decoded at a time."""

JSON = "application/json"
METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class Client:
    """Calls to one API server; may be shared by threads.

    Args:
        credentials: Whom to talk to and who we are.
        timeout: Seconds without a byte after which a call is given up.
        user_agent: What the server's audit log shows.
        attempts: Times that a call is tried where `may_repeat` allows it.
        backoff: Delays between attempts.

    Raises:
        CredentialsError: A certificate or the URL cannot be used.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        timeout: float = READ_TIMEOUT,
        user_agent: str = FIELD_MANAGER,
        attempts: int = ATTEMPTS,
        backoff: Backoff | None = None,
    ) -> None:
        self._wire = Wire(credentials, user_agent=user_agent)
        self._timeout = timeout
        self._attempts = attempts
        self._may_write: Callable[[], bool] = lambda: True
        self._backoff = backoff or Backoff(base=0.5, cap=8.0, random=random.random)
        self._accept = JSON

    def limited(
        self,
        *,
        timeout: float | None = None,
        attempts: int = 1,
        may_write: Callable[[], bool] | None = None,
    ) -> Self:
        """Returns a client over the same connections for callers that have a deadline or a loop of their own.

        Args:
            timeout: Another time-out, in seconds.
            attempts: Another number of attempts.
            may_write: Asked right before each write is sent, which fails as `FENCED` where the answer is no:
                of what a process had in mind when it was stopped for a while, nothing is done afterwards.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._timeout = self._timeout if timeout is None else timeout
        other._attempts = attempts
        other._may_write = may_write or self._may_write
        return other

    def of_metadata(self) -> Self:
        """Returns a client over the same connections whose lists hold the objects' metadata alone."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._accept = METADATA_LIST
        return other

    def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Object:
        """Returns an object.

        Args:
            path: As `cluster.resources.Resource.path` gives it.
            params: Query parameters.

        Raises:
            ApiError: It did not succeed; the same holds for all calls below.
        """
        return self._call("GET", path, params=params)

    def list(self, path: str, *, params: Mapping[str, str] | None = None) -> Object:
        """Returns a whole list object, its pages joined; ``metadata`` is the first page's."""
        whole: Object = {}
        items: list[object] = []
        for page in self.pages(path, params=params):
            whole = whole or page
            items.extend(shapes.sequence(page, "items"))
        return {**whole, "items": items}

    def pages(self, path: str, *, params: Mapping[str, str] | None = None) -> Iterator[Object]:
        """Yields a list page by page, so that only one is held at a time.

        All pages show the same resource version. A list that takes longer than the server keeps it (some
        minutes) ends in an error that is `ApiError.gone`.
        """
        query = {"limit": str(PAGE_SIZE), **(params or {})}
        while True:
            page = self._call("GET", path, params=query)
            yield page
            query["continue"] = shapes.text(page, "metadata", "continue")
            if not query["continue"]:
                return

    def create(self, path: str, body: Mapping[str, object]) -> Object:
        """Creates an object in the collection at ``path`` and returns it."""
        return self._call("POST", path, params=_OURS, body=body)

    def replace(self, path: str, body: Mapping[str, object]) -> Object:
        """Replaces an object; a ``resourceVersion`` in it makes a change meanwhile a conflict."""
        return self._call("PUT", path, params=_OURS, body=body)

    def patch(self, path: str, body: Mapping[str, object]) -> Object:
        """Merges ``body`` into an object (RFC 7386: lists are replaced, None deletes) and returns it."""
        return self._call("PATCH", path, params=_OURS, body=body, content_type=MERGE_PATCH)

    def patch_by_keys(self, path: str, body: Mapping[str, object]) -> Object:
        """Merges ``body`` into an object of a built-in kind, whose lists have keys, and returns it.

        A strategic merge patch (Kubernetes, "Update API Objects in Place Using kubectl patch"): an entry of a
        list is merged into the one of the same key, ``$patch: delete`` in it takes that one away.
        """
        return self._call("PATCH", path, params=_OURS, body=body, content_type=STRATEGIC_MERGE_PATCH)

    def apply(self, path: str, body: Mapping[str, object], *, force: bool = True) -> Object:
        """Applies an object server-side, as field manager `FIELD_MANAGER`, creating it where it is missing.

        Args:
            path: The object's path.
            body: The fields that are ours, with ``apiVersion``, ``kind`` and ``metadata.name``.
            force: Whether fields of other managers are taken over; else they are a conflict.
        """
        params = {**_OURS, "force": "true" if force else "false"}
        return self._call("PATCH", path, params=params, body=body, content_type=APPLY_PATCH)

    def delete(self, path: str, *, propagation: str = "Background", uid: str | None = None) -> Object:
        """Deletes an object; returns it, or a Status object.

        Args:
            path: The object's path.
            propagation: What becomes of its dependents: ``Background``, ``Foreground`` or ``Orphan``.
            uid: Deletes only this very object: another one of the same name is a conflict.
        """
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return self._call("DELETE", path, body=options)

    def delete_exactly(self, path: str, *, uid: str, propagation: str = "Background") -> None:
        """Deletes this very object; one that is gone, or was made anew, is no error."""
        try:
            self.delete(path, uid=uid, propagation=propagation)
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise

    def watch(
        self,
        path: str,
        *,
        params: Mapping[str, str],
        read_timeout: float,
        on_open: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[str, Object]]:
        """Yields the events of a watch, each as soon as it arrives; ends when the server ends it.

        Never repeated: only the caller knows where to go on.

        Args:
            path: The collection's path.
            params: Query parameters (``resourceVersion``, ``allowWatchBookmarks``, ``timeoutSeconds``, …).
            read_timeout: Seconds without a byte after which the connection is given up; above the server's
                interval of bookmarks, which is a minute.
            on_open: Called when the server has accepted the watch, which may be long before an event.

        Yields:
            Type (``ADDED``, ``MODIFIED``, ``DELETED``, ``BOOKMARK``) and object.

        Raises:
            ApiError: It was refused or broke off, an ``ERROR`` event came (with its Status object's code), or
                something that is no event.
        """
        target = _target(path, {**params, "watch": "true"})
        request = f"WATCH {path}"
        with self._wire.exchange(
            "GET", target, request=request, body=None, headers={"Accept": JSON}, read_timeout=read_timeout
        ) as response:
            if response.status != 200:
                raise failure(response, request)
            on_open()
            for line in lines(response, request):
                yield event(line, request)

    def interrupt(self, thread: Thread) -> None:
        """Makes the call fail at once that ``thread`` is in, if it is in one; from another thread."""
        # A thread that has ended may have left its identifier to a new one.
        if thread.ident is not None and thread.is_alive():
            self._wire.interrupt(thread.ident)

    def close(self) -> None:
        """Ends all calls in progress, watches included, and refuses new ones; from any thread."""
        self._wire.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        content_type: str = JSON,
    ) -> Object:
        encoded = None if body is None else json.dumps(body, allow_nan=False).encode()
        for attempt in range(1, self._attempts + 1):
            try:
                return self._once(method, _target(path, params), encoded, content_type)
            except ApiError as error:
                if attempt == self._attempts or not may_repeat(method, error):
                    raise
                if self._wire.wait(self._backoff.delay(attempt, error.retry_after)):
                    raise
        raise ValueError(f"attempts must be at least 1, not {self._attempts}")

    def _once(self, method: str, target: str, body: bytes | None, content_type: str) -> Object:
        headers = {"Accept": self._accept}
        if body is not None:
            headers["Content-Type"] = content_type
        request = f"{method} {target.partition('?')[0]}"
        if method != "GET" and not self._may_write():
            raise ApiError(0, FENCED, "another process may be at work in our place", request=request)
        with self._wire.exchange(
            method, target, request=request, body=body, headers=headers, read_timeout=self._timeout
        ) as response:
            if not 200 <= response.status < 300:
                raise failure(response, request)
            return decode(response.data, request)


def may_repeat(method: str, error: ApiError) -> bool:
    """Tells whether a failed call can be repeated without the risk of carrying it out twice."""
    if error.status == 429 or error.reason == UNREACHABLE:
        return True
    if method == "GET":
        return error.status == 503 or error.reason == NO_ANSWER
    return error.status == 503 and error.retry_after is not None


_OURS = {"fieldManager": FIELD_MANAGER}


def _target(path: str, params: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(params)}" if params else path
