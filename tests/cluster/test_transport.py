import threading

import pytest
from faultyapi import (
    STREAM,
    FaultyAPI,
    Live,
    answer,
    chunk,
    event,
    raw,
    reset,
    silence,
    status,
    status_object,
)

from cluster.backoff import Backoff
from cluster.transport import ApiError, Client, Credentials, CredentialsError, may_repeat

NO_PAUSE = Backoff(base=0.0, cap=0.0, random=lambda: 0.0)
OK = answer(200, {"kind": "ConfigMap"})


def client_of(server: FaultyAPI, **options: object) -> Client:
    return Client(Credentials(server.url), **{"timeout": 30.0, "backoff": NO_PAUSE, **options})


def test_a_call_sends_who_we_are_and_returns_plain_dicts() -> None:
    with FaultyAPI([OK]) as server:
        client = Client(Credentials(server.url, authorization=lambda: "Bearer abc"), user_agent="me/1")
        assert client.get("/api/v1/nodes/a", params={"x": "a b"}) == {"kind": "ConfigMap"}
        [request] = server.requests
    assert (request.method, request.path, request.query) == ("GET", "/api/v1/nodes/a", {"x": "a b"})
    assert request.headers["authorization"] == "Bearer abc"
    assert request.headers["user-agent"] == "me/1"
    assert request.headers["accept"] == "application/json"


def test_the_path_of_the_server_url_comes_first() -> None:
    with FaultyAPI([OK]) as server:
        Client(Credentials(f"{server.url}/k8s/clusters/c-1/")).get("/version")
        assert server.requests[0].path == "/k8s/clusters/c-1/version"


@pytest.mark.parametrize(
    ("call", "method", "content_type", "query"),
    [
        (lambda c: c.create("/p", {"a": 1}), "POST", "application/json", {"fieldManager": "vm-preflight"}),
        (lambda c: c.replace("/p", {"a": 1}), "PUT", "application/json", {"fieldManager": "vm-preflight"}),
        (
            lambda c: c.patch("/p", {"a": 1}),
            "PATCH",
            "application/merge-patch+json",
            {"fieldManager": "vm-preflight"},
        ),
        (
            lambda c: c.apply("/p", {"a": 1}),
            "PATCH",
            "application/apply-patch+yaml",
            {"fieldManager": "vm-preflight", "force": "true"},
        ),
    ],
)
def test_writes(call, method: str, content_type: str, query: dict[str, str]) -> None:
    with FaultyAPI([OK]) as server:
        call(client_of(server))
        [request] = server.requests
    assert (request.method, request.query, request.body) == (method, query, {"a": 1})
    assert request.headers["content-type"] == content_type


def test_delete_says_what_becomes_of_dependents_and_which_object_is_meant() -> None:
    with FaultyAPI([OK, OK]) as server:
        client_of(server).delete("/p", propagation="Foreground", uid="u1")
        client_of(server).delete("/p")
        first, second = (request.body for request in server.requests)
    assert first["propagationPolicy"] == "Foreground"
    assert first["preconditions"] == {"uid": "u1"}
    assert second["propagationPolicy"] == "Background"
    assert "preconditions" not in second


def test_pages_are_followed_and_joined() -> None:
    first = {"metadata": {"resourceVersion": "7", "continue": "tok en"}, "items": [{"a": 1}]}
    last = {"metadata": {"resourceVersion": "7"}, "items": [{"a": 2}]}
    with FaultyAPI([answer(200, first), answer(200, last)]) as server:
        whole = client_of(server).list("/p", params={"labelSelector": "x=y"})
        one, two = server.requests
    assert whole["items"] == [{"a": 1}, {"a": 2}]
    assert one.query == {"labelSelector": "x=y", "limit": "500"}
    assert two.query == {"labelSelector": "x=y", "limit": "500", "continue": "tok en"}


@pytest.mark.parametrize(
    ("code", "reason", "true"),
    [
        (404, "NotFound", "not_found"),
        (409, "Conflict", "conflict"),
        (409, "AlreadyExists", "already_exists"),
        (410, "Expired", "gone"),
        (403, "Forbidden", "forbidden"),
    ],
)
def test_an_error_carries_the_status_object(code: int, reason: str, true: str) -> None:
    with FaultyAPI([status(code, reason, "it is\nso")]) as server, pytest.raises(ApiError) as caught:
        client_of(server).get("/api/v1/nodes/a")
    error = caught.value
    assert (error.status, error.reason, error.message) == (code, reason, "it is so")
    assert str(error) == f"GET /api/v1/nodes/a: {code} {reason}: it is so"
    kinds = ("not_found", "conflict", "already_exists", "gone", "forbidden")
    assert [kind for kind in kinds if getattr(error, kind)] == [true]


def test_a_gateways_own_page_is_told_in_one_line() -> None:
    page = answer(502, b"<html>\n<h1>Bad Gateway</h1>")
    with FaultyAPI([page]) as server, pytest.raises(ApiError) as caught:
        client_of(server).get("/p")
    assert str(caught.value) == r"GET /p: 502 SomeReason: '<html>\n<h1>Bad Gateway</h1>'"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_an_answer_that_is_no_object_is_an_error(body: bytes) -> None:
    with FaultyAPI([answer(200, body)]) as server, pytest.raises(ApiError) as caught:
        client_of(server).get("/p")
    assert caught.value.reason == "Malformed"
    assert len(str(caught.value)) < 300


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    waits: list[float] = []
    with FaultyAPI(
        [
            status(429, "TooManyRequests", Retry_After="3"),
            status(503, "ServiceUnavailable", Retry_After="1"),
            OK,
        ]
    ) as server:
        client = client_of(server, backoff=Backoff(base=1.0, cap=9.0, random=lambda: 0.5))
        client._wire.wait = lambda seconds: bool(waits.append(seconds))
        client.create("/p", {})
        assert len(server.requests) == 3
    assert waits == [3.5, 2.0]


def test_retries_end() -> None:
    with FaultyAPI([status(429, "TooManyRequests", "slow down")] * 9) as server:
        with pytest.raises(ApiError) as caught:
            client_of(server, attempts=3).get("/p")
        assert len(server.requests) == 3
    assert caught.value.status == 429


def test_a_limited_client_tries_once() -> None:
    with FaultyAPI([status(429, "TooManyRequests", Retry_After="7")] * 9) as server:
        with pytest.raises(ApiError) as caught:
            client_of(server).limited().get("/p")
        assert len(server.requests) == 1
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("fault", [reset, raw(b""), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")])
def test_a_lost_answer_is_asked_for_again_only_where_that_is_safe(fault) -> None:
    with FaultyAPI([fault, OK]) as server:
        assert client_of(server).get("/p") == {"kind": "ConfigMap"}
    with FaultyAPI([fault, OK]) as server:
        with pytest.raises(ApiError) as caught:
            client_of(server).create("/p", {})
        assert len(server.requests) == 1
    assert (caught.value.status, caught.value.reason) == (0, "NoAnswer")
    assert str(caught.value).startswith(f"POST /p: NoAnswer: {server_url(caught.value)}")


def server_url(error: ApiError) -> str:
    return error.message.split(": ")[0]


def test_junk_instead_of_http() -> None:
    with FaultyAPI([raw(b"220 smtp ready\r\n")]) as server, pytest.raises(ApiError) as caught:
        client_of(server, attempts=1).get("/p")
    assert caught.value.reason == "NoAnswer"


def test_a_silent_server_is_given_up() -> None:
    with FaultyAPI([silence]) as server, pytest.raises(ApiError) as caught:
        client_of(server, timeout=0.2, attempts=1).get("/p")
    assert caught.value.reason == "NoAnswer"
    assert "timed out" in caught.value.message


def test_nobody_listens() -> None:
    with FaultyAPI() as server:
        url = server.url
    with pytest.raises(ApiError) as caught:
        Client(Credentials(url), backoff=NO_PAUSE).create("/p", {})
    assert caught.value.reason == "Unreachable"
    assert str(caught.value) == (
        f"POST /p: Unreachable: {url}: Failed to establish a new connection: [Errno 111] Connection refused"
    )


def test_no_token_no_call() -> None:
    def unreadable() -> str:
        raise FileNotFoundError(2, "No such file or directory", "/token")

    with FaultyAPI([OK]) as server, pytest.raises(ApiError) as caught:
        Client(Credentials(server.url, authorization=unreadable)).get("/p")
    assert caught.value.reason == "NoCredentials"
    assert "/token" in caught.value.message
    assert not server.requests


def test_a_redirect_is_not_followed() -> None:
    with FaultyAPI([answer(302, b"", Location="http://elsewhere.invalid/"), OK]) as server:
        with pytest.raises(ApiError) as caught:
            client_of(server).get("/p")
        assert len(server.requests) == 1
    assert caught.value.status == 302


@pytest.mark.parametrize("server", ["", "nonsense", "ftp://x", "https://", "http://[::1"])
def test_a_url_that_is_none(server: str) -> None:
    with pytest.raises(CredentialsError, match="is not the URL of an API server"):
        Client(Credentials(server))


def test_certificates_that_are_none(tmp_path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    with pytest.raises(CredentialsError, match=r"junk\.pem: not usable as certificate authority"):
        Client(Credentials("https://x", ca_file=str(junk)))
    with pytest.raises(CredentialsError, match=r"none\.pem: not usable as client certificate"):
        Client(Credentials("https://x", cert_file="none.pem"))


@pytest.mark.parametrize(
    ("method", "code", "reason", "retry_after", "expected"),
    [
        ("POST", 429, "TooManyRequests", None, True),
        ("POST", 503, "ServiceUnavailable", 1.0, True),
        ("POST", 503, "ServiceUnavailable", None, False),
        ("POST", 0, "Unreachable", None, True),
        ("POST", 0, "NoAnswer", None, False),
        ("PATCH", 0, "NoAnswer", None, False),
        ("DELETE", 504, "Timeout", 1.0, False),
        ("GET", 0, "NoAnswer", None, True),
        ("GET", 503, "ServiceUnavailable", None, True),
        ("GET", 0, "UntrustedServer", None, False),
        ("GET", 0, "Closed", None, False),
        ("GET", 0, "Malformed", None, False),
        ("GET", 403, "Forbidden", None, False),
    ],
)
def test_may_repeat(method: str, code: int, reason: str, retry_after: float | None, expected: bool) -> None:
    assert may_repeat(method, ApiError(code, reason, "", retry_after=retry_after)) is expected


def watch(client: Client, read_timeout: float = 30.0):
    return client.watch("/p", params={"resourceVersion": "1"}, read_timeout=read_timeout)


def test_a_watch_yields_events_however_they_are_cut_into_pieces() -> None:
    added, deleted = event("ADDED", {"a": 1}), event("DELETED", {"a": "é" * 5})
    stream = Live(added + deleted[:-30], deleted[-30:], b"\n", b"\n" + added[:1], added[1:]).end()
    opened: list[bool] = []
    with FaultyAPI([stream]) as server:
        events = list(
            client_of(server).watch("/p", params={}, read_timeout=30.0, on_open=lambda: opened.append(True))
        )
        assert server.requests[0].query == {"watch": "true"}
    assert events == [("ADDED", {"a": 1}), ("DELETED", {"a": "é" * 5}), ("ADDED", {"a": 1})]
    assert opened == [True]


def test_an_event_comes_while_the_stream_stays_open() -> None:
    live = Live(event("ADDED", {"a": 1}))
    with FaultyAPI([live]) as server:
        events = watch(client_of(server))
        assert next(events) == ("ADDED", {"a": 1})
        live.send(event("MODIFIED", {"a": 2}))
        assert next(events) == ("MODIFIED", {"a": 2})
        events.close()


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        (event("ERROR", status_object(410, "Expired", "too old resource version: 1 (9)")), 410, "Expired"),
        (event("ERROR", {}), 0, "Unknown"),
        (b"not json\n", 0, "Malformed"),
        (b"[]\n", 0, "Malformed"),
        (b'{"type": "ADDED"}\n', 0, "Malformed"),
        (b'{"type": "RENAMED", "object": {}}\n', 0, "Malformed"),
        (b'{"type": "ADDED", "object": 1}\n', 0, "Malformed"),
        (b"\xff\xfe\n", 0, "Malformed"),
    ],
)
def test_what_is_no_event_is_an_error(line: bytes, code: int, reason: str) -> None:
    with FaultyAPI([Live(event("ADDED", {"a": 1}), line)]) as server:
        events = watch(client_of(server))
        assert next(events) == ("ADDED", {"a": 1})
        with pytest.raises(ApiError) as caught:
            next(events)
    assert (caught.value.status, caught.value.reason) == (code, reason)


def test_a_line_without_end_is_given_up(monkeypatch) -> None:
    monkeypatch.setattr("cluster.answers.MAX_EVENT_BYTES", 1000)
    with FaultyAPI([Live(*[b"x" * 400] * 9)]) as server, pytest.raises(ApiError, match="longer than 1000"):
        list(watch(client_of(server)))


@pytest.mark.parametrize(
    "respond",
    [
        Live(event("ADDED", {})).cut(),
        Live(event("ADDED", {})).reset(),
        Live(event("ADDED", {}), b'{"type":').end(),
        raw(STREAM + chunk(event("ADDED", {}))),
        raw(STREAM + chunk(event("ADDED", {})) + b"junk\r\n"),
    ],
    ids=["cut", "reset", "ended within an event", "closed", "junk for a chunk"],
)
def test_a_broken_stream_is_no_answer(respond) -> None:
    with FaultyAPI([respond]) as server:
        events = watch(client_of(server), read_timeout=60.0)
        assert next(events) == ("ADDED", {})
        with pytest.raises(ApiError) as caught:
            next(events)
    assert caught.value.reason == "NoAnswer"


def test_a_stream_that_goes_silent_is_given_up() -> None:
    with FaultyAPI([Live(event("ADDED", {}))]) as server:
        events = watch(client_of(server), read_timeout=3.0)
        assert next(events) == ("ADDED", {})
        with pytest.raises(ApiError, match=r"NoAnswer: .*timed out"):
            next(events)


def test_a_refused_watch_is_not_repeated() -> None:
    with FaultyAPI([status(503, "ServiceUnavailable", Retry_After="2")] * 2) as server:
        with pytest.raises(ApiError) as caught:
            next(watch(client_of(server)))
        assert len(server.requests) == 1
    assert caught.value.retry_after == 2.0


@pytest.mark.parametrize("respond", [silence, Live()], ids=["before the headers", "within the stream"])
@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_a_blocked_call_is_ended_from_another_thread(respond, how: str) -> None:
    with FaultyAPI([respond]) as server:
        client = client_of(server)
        errors: list[ApiError] = []

        def blocked() -> None:
            try:
                list(watch(client, read_timeout=60.0))
            except ApiError as error:
                errors.append(error)

        thread = threading.Thread(target=blocked, daemon=True)
        thread.start()
        server.wait_for_requests(1)
        if how == "close":
            client.close()
        else:
            client.interrupt(thread)
        thread.join(60.0)
        assert not thread.is_alive()
        assert [error.reason for error in errors] == ["Closed" if how == "close" else "NoAnswer"]


def test_an_interrupt_leaves_other_calls_alone() -> None:
    live = Live()
    with FaultyAPI([live]) as server:
        client = client_of(server)
        idle = threading.Thread(target=lambda: None)
        idle.start()
        idle.join()
        seen: list[tuple[str, dict[str, object]]] = []
        thread = threading.Thread(target=lambda: seen.extend(watch(client)), daemon=True)
        thread.start()
        server.wait_for_requests(1)
        client.interrupt(idle)
        live.send(event("ADDED", {"a": 1})).end()
        thread.join(60.0)
    assert seen == [("ADDED", {"a": 1})]


def test_a_closed_client_refuses() -> None:
    with FaultyAPI([OK]) as server:
        client = client_of(server)
        client.close()
        with pytest.raises(ApiError, match="GET /p: Closed: this client is closed"):
            client.get("/p")
        assert not server.requests


def test_closing_ends_the_wait_for_another_attempt() -> None:
    with FaultyAPI([status(429, "TooManyRequests", Retry_After="30")]) as server:
        waiting = threading.Event()
        client = client_of(server, backoff=Backoff(base=0.0, cap=0.0, random=lambda: waiting.set() or 0.0))
        errors: list[ApiError] = []

        def call() -> None:
            try:
                client.get("/p")
            except ApiError as error:
                errors.append(error)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        assert waiting.wait(60.0)
        client.close()
        thread.join(60.0)
    assert [error.status for error in errors] == [429]


def test_an_error_does_not_cost_the_connection() -> None:
    with FaultyAPI([status(404, "NotFound"), status(409, "Conflict"), OK]) as server:
        client = client_of(server)
        for _ in range(2):
            with pytest.raises(ApiError):
                client.get("/p")
        client.get("/p")
        assert server.connections == 1


def test_a_watch_that_is_left_early_gives_up_its_connection() -> None:
    with FaultyAPI([Live(event("ADDED", {})), OK]) as server:
        client = client_of(server)
        events = watch(client)
        next(events)
        events.close()
        assert client.get("/p") == {"kind": "ConfigMap"}
        assert server.connections == 2


def test_a_watch_can_be_ended_after_a_call_in_its_midst() -> None:
    with FaultyAPI([Live(event("ADDED", {})), OK]) as server:
        client = client_of(server)
        called = threading.Event()
        errors: list[ApiError] = []

        def follow() -> None:
            try:
                for _ in watch(client, read_timeout=60.0):
                    client.get("/p")
                    called.set()
            except ApiError as error:
                errors.append(error)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        assert called.wait(60.0)
        client.close()
        thread.join(60.0)
        assert [error.reason for error in errors] == ["Closed"]


def test_plain_http_through_a_proxy_asks_for_whole_urls() -> None:
    with FaultyAPI([OK]) as proxy:
        Client(Credentials("http://api.example:8080/base", proxy=proxy.url)).get("/p")
        [request] = proxy.requests
    assert request.headers["host"] == "api.example:8080"
    assert request.path == "/base/p"


def test_https_through_a_proxy_asks_for_a_tunnel() -> None:
    with FaultyAPI([answer(403, b"no")]) as proxy:
        url = proxy.url.replace("//", "//me:pw@")
        client = Client(Credentials("https://api.example:6443", proxy=url), attempts=1)
        with pytest.raises(ApiError) as caught:
            client.get("/p")
    [request] = proxy.requests
    assert (request.method, request.path) == ("CONNECT", "api.example:6443")
    assert request.headers["proxy-authorization"] == "Basic bWU6cHc="
    assert caught.value.reason == "Unreachable"


def test_a_client_that_may_write_no_more_reads_only() -> None:
    with FaultyAPI([OK, OK, OK]) as server:
        holds = [True, False]
        fenced = client_of(server).limited(may_write=lambda: holds.pop(0))
        fenced.create("/p", {"a": 1})
        with pytest.raises(ApiError, match="Fenced: another process may be at work in our place"):
            fenced.limited(timeout=1.0).create("/p", {"a": 1})
        fenced.get("/p")
    assert [request.method for request in server.requests] == ["POST", "GET"]
