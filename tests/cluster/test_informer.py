import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
from faultyapi import (
    PATIENCE,
    FaultyAPI,
    Live,
    Responder,
    answer,
    event,
    reset,
    silence,
    status,
    status_object,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import until

from cluster import shapes
from cluster.backoff import Backoff
from cluster.informer import Informer
from cluster.resources import NODES, PODS
from cluster.transport import Client, Credentials

NO_PAUSE = Backoff(base=0.0, cap=0.0, random=lambda: 0.0)


def node(name: str, version: int, value: str = "", **labels: str) -> dict[str, object]:
    metadata = {"name": name, "resourceVersion": str(version), "labels": labels}
    return {"kind": "Node", "metadata": metadata, "value": value}


def listed(version: int, *items: object) -> Responder:
    return answer(
        200, {"kind": "NodeList", "metadata": {"resourceVersion": str(version)}, "items": list(items)}
    )


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"kind": "Node", "metadata": {"resourceVersion": str(version)}})


def value_of(obj: Mapping[str, object]) -> str:
    return shapes.text(obj, "value")


class Watched:
    """An informer on a scripted server, and what it told."""

    def __init__(self, server: FaultyAPI, project: Callable[..., str] = value_of, **options: object) -> None:
        self.server = server
        self.told = threading.Condition()
        self.shown: dict[str, str] | None = None
        self.changes = 0
        self.restarts = 0
        settings = {"backoff": NO_PAUSE, "read_timeout": 60.0, **options}
        self.informer: Informer[str] = Informer(
            Client(Credentials(server.url)),
            settings.pop("resource", NODES),
            project,
            on_change=self._change,
            on_restart=self._restart,
            **settings,
        )

    def _change(self) -> None:
        with self.told:
            self.changes += 1
            self.shown = self.informer.items()
            self.told.notify_all()

    def _restart(self) -> None:
        with self.told:
            self.restarts += 1
            self.told.notify_all()

    def until(self, items: Mapping[str, str]) -> None:
        """Waits, without polling, until the informer has told of exactly these items."""
        with self.told:
            came = self.told.wait_for(lambda: self.shown == items, PATIENCE)
            assert came, f"expected {items}, has {self.shown}: {self.informer.error}"


@contextmanager
def watched(*script: Responder, **options: object) -> Iterator[Watched]:
    with FaultyAPI(list(script)) as server:
        one = Watched(server, **options)
        one.informer.start()
        try:
            yield one
        finally:
            one.informer.stop()


def versions(one: Watched, count: int) -> list[str]:
    """What was asked for: ``list``, or the version that a watch began with."""
    return [
        request.query["resourceVersion"] if "watch" in request.query else "list"
        for request in one.server.wait_for_requests(count)
    ]


def test_a_list_and_then_what_changes() -> None:
    live = Live()
    with watched(listed(10, node("a", 1, "A"), node("b", 2, "B")), live) as one:
        assert one.informer.wait_synced(PATIENCE)
        assert one.informer.synced
        one.until({"a": "A", "b": "B"})
        live.send(event("ADDED", node("c", 11, "C")))
        one.until({"a": "A", "b": "B", "c": "C"})
        live.send(event("MODIFIED", node("a", 12, "A2")), event("DELETED", node("b", 13)))
        one.until({"a": "A2", "c": "C"})
        assert one.informer.get("a") == "A2"
        assert one.informer.get("b") is None
        assert one.informer.error == ""
        assert one.restarts == 0
        assert versions(one, 2) == ["list", "10"]
        query = one.server.requests[1].query
    assert query["allowWatchBookmarks"] == "true"
    assert 300 <= int(query["timeoutSeconds"]) <= 600


def test_only_a_change_of_what_is_kept_is_told() -> None:
    live = Live()
    with watched(listed(10, node("a", 1, "A")), live) as one:
        one.until({"a": "A"})
        live.send(event("MODIFIED", node("a", 11, "A", heartbeat="1")), bookmark(12))
        live.send(event("MODIFIED", node("a", 13, "A2")))
        one.until({"a": "A2"})
        assert one.changes == 2


def test_an_empty_first_list_is_told() -> None:
    with watched(listed(10), Live()) as one:
        assert one.informer.wait_synced(PATIENCE)
        with one.told:
            assert one.told.wait_for(lambda: one.changes == 1, PATIENCE)


def test_one_object_by_name() -> None:
    with watched(listed(10), Live(), name="n-1") as one:
        for request in one.server.wait_for_requests(2):
            assert request.path == "/api/v1/nodes"
            assert request.query["fieldSelector"] == "metadata.name=n-1"


def test_namespace_and_label_selector() -> None:
    pod = {"metadata": {"name": "p", "namespace": "vm-system", "resourceVersion": "1"}, "value": "P"}
    with watched(
        listed(10, pod), Live(), resource=PODS, namespace="vm-system", label_selector="app=x"
    ) as one:
        one.until({"vm-system/p": "P"})
        for request in one.server.wait_for_requests(2):
            assert request.path == "/api/v1/namespaces/vm-system/pods"
            assert request.query["labelSelector"] == "app=x"


def test_a_list_of_several_pages() -> None:
    first = {"metadata": {"resourceVersion": "10", "continue": "more"}, "items": [node("a", 1, "A")]}
    with watched(answer(200, first), listed(10, node("b", 2, "B")), Live()) as one:
        one.until({"a": "A", "b": "B"})


@pytest.mark.parametrize("fault", ["end", "cut", "reset"])
def test_a_stream_that_ends_goes_on_where_it_was(fault: str) -> None:
    first = Live(event("ADDED", node("a", 11, "A")), bookmark(15))
    second = Live(event("ADDED", node("b", 16, "B")))
    with watched(listed(10), first, second) as one:
        until(lambda: one.informer._version == "15", "the bookmark is taken in")  # else a reset may lose it
        getattr(first, fault)()
        one.until({"a": "A", "b": "B"})
        assert versions(one, 3) == ["list", "10", "15"]
        assert one.restarts == (0 if fault == "end" else 1)


def test_a_half_open_connection_is_given_up_and_resumed() -> None:
    added = event("ADDED", node("b", 11, "B"))
    resumed = [Live(added) for _ in range(20)]  # one more for each time that a second is short for it
    with watched(listed(10, node("a", 1, "A")), Live(), *resumed, read_timeout=1.0) as one:
        one.until({"a": "A", "b": "B"})
        assert versions(one, 3)[:3] == ["list", "10", "10"]


@pytest.mark.parametrize(
    "gone",
    [
        status(410, "Expired", "too old resource version"),
        Live(event("ERROR", status_object(410, "Expired", "too old resource version"))),
        Live(b"junk\n"),
        Live(event("ADDED", {"metadata": {"name": "no-version"}})),
    ],
    ids=["410", "ERROR event", "junk", "event without version"],
)
def test_a_version_that_is_gone_leads_to_a_new_list_without_what_was_deleted(gone: Responder) -> None:
    with watched(
        listed(10, node("a", 1, "A"), node("b", 2, "B")), gone, listed(20, node("b", 19, "B2")), Live()
    ) as one:
        one.until({"b": "B2"})
        assert versions(one, 4) == ["list", "10", "list", "20"]


def test_a_list_whose_pages_are_gone_begins_anew() -> None:
    first = {"metadata": {"resourceVersion": "10", "continue": "more"}, "items": [node("old", 1, "x")]}
    with watched(answer(200, first), status(410, "Expired"), listed(20, node("a", 19, "A")), Live()) as one:
        one.until({"a": "A"})


@pytest.mark.parametrize(
    "fault",
    [
        status(403, "Forbidden", "nodes is forbidden"),
        status(500, "InternalError"),
        status(429, "TooManyRequests"),
        status(404, "NotFound", "the server could not find the requested resource"),
        answer(200, b"junk"),
        answer(200, {"items": []}),
        reset,
    ],
)
def test_a_list_that_fails_is_tried_again(fault: Responder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), watched(fault, listed(10, node("a", 1, "A")), Live()) as one:
        one.until({"a": "A"})
        assert one.restarts == 1
    [record] = caplog.records
    assert record.getMessage().endswith("listing again in 0.0 s")
    assert "/api/v1/nodes" in record.getMessage()


def test_a_watch_that_is_refused_keeps_its_place() -> None:
    with watched(listed(10), status(403, "Forbidden"), status(500, "InternalError"), Live()) as one:
        assert versions(one, 4) == ["list", "10", "10", "10"]


def test_an_object_that_cannot_be_read_is_left_out_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def project(obj: Mapping[str, object]) -> str:
        value = value_of(obj)
        if value == "bad":
            raise RuntimeError("cannot read this")
        return value

    live = Live()
    with watched(listed(10, node("a", 1, "A"), node("b", 2, "bad"), "junk"), live, project=project) as one:
        one.until({"a": "A"})
        live.send(event("MODIFIED", node("a", 11, "bad")), event("ADDED", node("c", 12, "C")))
        one.until({"c": "C"})
        live.send(event("MODIFIED", node("a", 13, "A3")))
        one.until({"a": "A3", "c": "C"})
        assert one.restarts == 0
    assert [record.getMessage() for record in caplog.records] == [
        "Node b cannot be read; it is left out",
        "Node a cannot be read; it is left out",
    ]


def test_a_callback_that_raises_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    calls = threading.Semaphore(0)
    with FaultyAPI([listed(10), listed(20), Live()]) as server:

        def on_change() -> None:
            calls.release()
            if len(server.requests) == 1:
                raise RuntimeError("the caller's mistake")

        one = Informer(
            Client(Credentials(server.url)), NODES, value_of, on_change=on_change, backoff=NO_PAUSE
        )
        one.start()
        server.wait_for_requests(3)
        one.stop()
    assert "the caller's mistake" in caplog.text


class Paused:
    """Delays that are recorded and not waited for."""

    def __init__(self) -> None:
        self.failures: list[int] = []
        self.random = lambda: 0.0

    def delay(self, failures: int, retry_after: float | None = None) -> float:
        self.failures.append(failures)
        return 0.0


def test_back_off_grows_with_failures_in_a_row_and_starts_anew_after_an_event() -> None:
    paused = Paused()
    gone = status(410, "Expired")
    script = (
        *(reset, reset, listed(10), gone, listed(20), gone, listed(30)),
        *(Live(bookmark(31)).cut(), Live().end(), Live(bookmark(32)).end(), Live()),
    )
    with watched(*script, backoff=paused, clock=lambda: 0.0) as one:  # no stream has lasted
        assert versions(one, 11)[-4:] == ["30", "31", "31", "32"]
    assert paused.failures == [1, 2, 3, 4, 1, 2]


def test_a_place_that_was_lost_in_an_outage_is_no_further_failure() -> None:
    paused = Paused()
    gone = status(410, "Expired")
    script = (listed(10), Live(bookmark(11)).cut(), reset, reset, reset, gone, listed(20), Live())
    with watched(*script, backoff=paused) as one:
        assert versions(one, 8) == ["list", "10", "11", "11", "11", "11", "list", "20"]
    assert paused.failures == [1, 2, 3, 4, 1]


def test_error_says_why_the_cache_may_be_behind() -> None:
    live = Live()
    with watched(listed(10), live) as one:
        until(lambda: one.informer.error == "", "the stream is open")
        live.reset()
        versions(one, 3)
        assert one.informer.error.startswith("WATCH /api/v1/nodes: NoAnswer: ")


@pytest.mark.parametrize(
    "script",
    [
        [silence],
        [listed(10), silence],
        [listed(10), Live()],
        [status(429, "TooManyRequests", Retry_After="30")],
    ],
    ids=["in the list", "before the headers", "in the stream", "in a pause"],
)
def test_stop_ends_a_blocked_thread_in_time(script: list[Responder]) -> None:
    with FaultyAPI(list(script)) as server:
        one = Watched(server, backoff=Backoff(base=60.0, cap=60.0, random=lambda: 0.9))
        one.informer.start()
        server.wait_for_requests(len(script))
        one.informer.stop()
        one.informer._thread.join(20.0)  # what blocks it takes 30 s and more
        assert not one.informer._thread.is_alive()
        one.informer.stop()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([bookmark(11), b"{}", b"null\n", b"[1]\n", b'"x"\n']),
        max_size=6,
    )
)
def test_whatever_a_stream_holds_the_informer_goes_on(junk: list[bytes]) -> None:
    logging.disable(logging.WARNING)
    try:
        with watched(
            listed(10), Live(*filter(None, junk)).end(), *[listed(20, node("a", 20, "A")), Live()] * 2
        ) as one:
            one.server.script.append(Live())
            one.informer.wait_synced(PATIENCE)
            one.server.wait_for_requests(3)
            assert one.informer._thread.is_alive()
    finally:
        logging.disable(logging.NOTSET)


def test_stopping_what_was_never_started() -> None:
    one = Informer(Client(Credentials("http://127.0.0.1:1")), NODES, value_of, on_change=lambda: None)
    assert one.error == "not started"
    one.stop()


def test_nothing_is_told_after_stop() -> None:
    live = Live()
    with watched(listed(10), live) as one:
        assert live.opened.wait(PATIENCE)
        one.informer.stop()
        before = one.changes
        live.send(event("ADDED", node("a", 11, "A")))
        assert one.informer.items() == {}
        assert one.changes == before
