"""The HTTP endpoints over real sockets: right answers, junk, slow clients, many clients."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import daemon.http
from daemon.address import Address
from daemon.endpoints import OPENMETRICS_TEXT, PROMETHEUS_TEXT
from daemon.http import MAX_CONNECTIONS, Server, serve

LOOPBACK = Address("127.0.0.1", 0)


class Daemon:
    """What the endpoints show; tests change it."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.registry = CollectorRegistry()
        self.counter = Counter("jobs", "Jobs.", registry=self.registry)
        self.counter.inc(3)

    def page(self) -> str:
        if self.reason == "page breaks":
            raise ZeroDivisionError
        return "<!doctype html><p>ü\ud800"


@pytest.fixture
def shown() -> Daemon:
    return Daemon()


@pytest.fixture
def server(shown: Daemon) -> Iterator[Server]:
    routes = {"/report": lambda: ("application/json", b"{}")}
    running = serve(
        LOOPBACK, registry=shown.registry, ready=lambda: shown.reason, page=shown.page, routes=routes
    )
    yield running
    running.close()


def ask(
    server: Server, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", server.address.port, timeout=60)
    try:
        client.request(method, path, headers=headers)
        answer = client.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        client.close()


def raw(server: Server, data: bytes) -> bytes:
    """Sends bytes as they are and returns everything that comes back."""
    with socket.create_connection(("127.0.0.1", server.address.port), timeout=60) as client:
        client.sendall(data)
        received = b""
        while chunk := client.recv(1 << 16):
            received += chunk
        return received


def test_health(server: Server) -> None:
    assert ask(server, "/healthz")[0::2] == (200, b"ok\n")


def test_readiness_says_what_is_missing(server: Server, shown: Daemon) -> None:
    assert ask(server, "/readyz")[0::2] == (200, b"ok\n")
    shown.reason = "watch not established"
    assert ask(server, "/readyz")[0::2] == (503, b"watch not established\n")


def test_metrics_as_text_by_default(server: Server) -> None:
    status, headers, body = ask(server, "/metrics", Accept="text/plain;version=0.0.4;q=0.3,*/*;q=0.1")
    assert (status, headers["Content-Type"]) == (200, PROMETHEUS_TEXT)
    (family,) = parse_text(body.decode())
    assert [(sample.name, sample.value) for sample in family.samples] == [("jobs_total", 3.0)]


def test_metrics_as_openmetrics_where_asked_for(server: Server) -> None:
    status, headers, body = ask(server, "/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert (status, headers["Content-Type"]) == (200, OPENMETRICS_TEXT)
    assert body.endswith(b"# EOF\n")
    (family,) = parse_openmetrics(body.decode())
    assert [(sample.name, sample.value) for sample in family.samples] == [("jobs_total", 3.0)]


def test_page_is_html_that_loads_nothing(server: Server) -> None:
    status, headers, body = ask(server, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert body == "<!doctype html><p>ü?".encode()


def test_route_is_served_where_given(server: Server) -> None:
    status, headers, body = ask(server, "/report?x=y")
    assert (status, headers["Content-Type"], body) == (200, "application/json", b"{}")


@pytest.mark.parametrize("path", ["/favicon.ico", "/metrics/", "//", "/debug/pprof", "/%2e%2e/etc/passwd"])
def test_nothing_else_is_served(server: Server, path: str) -> None:
    assert ask(server, path)[0::2] == (404, b"not found\n")


def test_head_has_the_fields_of_get_and_no_body(server: Server) -> None:
    _, expected, body = ask(server, "/metrics")
    status, headers, nothing = ask(server, "/metrics", "HEAD")
    assert (status, nothing) == (200, b"")
    assert headers["Content-Length"] == str(len(body)) == expected["Content-Length"]


def test_other_methods_are_refused_with_those_allowed(server: Server) -> None:
    status, headers, _ = ask(server, "/metrics", "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_large_body_of_a_refused_request_does_not_eat_the_answer(server: Server) -> None:
    answer = raw(server, b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    assert answer.startswith(b"HTTP/1.1 405 ")


def test_junk_is_answered_and_the_next_request_served(server: Server) -> None:
    assert raw(server, b"\x16\x03\x01\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(server, b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000).startswith(b"HTTP/1.1 431 ")
    assert raw(server, b"GET /healthz HTTP/1.0\n\n").endswith(b"ok\n")
    assert ask(server, "/healthz")[0] == 200


def test_page_that_cannot_be_made_is_an_error_and_the_rest_is_served(server: Server, shown: Daemon) -> None:
    shown.reason = "page breaks"
    assert ask(server, "/")[0::2] == (500, b"internal error; see the log\n")
    shown.reason = None
    assert ask(server, "/")[0] == 200


def test_slow_client_is_told_and_holds_up_nobody(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    patience, accepted, accept = daemon.http.PATIENCE, threading.Event(), server._accept
    monkeypatch.setattr(daemon.http, "PATIENCE", 1.0)
    monkeypatch.setattr(server, "_accept", lambda: (accept(), accepted.set()))
    with socket.create_connection(("127.0.0.1", server.address.port), timeout=60) as slow:
        slow.sendall(b"GET / HT")
        assert accepted.wait(60)
        monkeypatch.setattr(daemon.http, "PATIENCE", patience)  # this machine may be slow, too
        assert ask(server, "/healthz")[0] == 200
        assert slow.recv(1 << 16).startswith(b"HTTP/1.1 408 ")


def test_client_that_takes_no_answer_is_dropped(shown: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = daemon.http.PATIENCE
    monkeypatch.setattr(daemon.http, "PATIENCE", 1.0)
    routes = {"/large": lambda: ("text/plain", b"x" * 50_000_000)}
    server = serve(LOOPBACK, registry=shown.registry, ready=lambda: None, page=shown.page, routes=routes)
    dropped, drop = threading.Event(), server._drop
    monkeypatch.setattr(server, "_drop", lambda connection: (drop(connection), dropped.set()))
    try:
        with socket.create_connection(("127.0.0.1", server.address.port), timeout=60) as deaf:
            deaf.sendall(b"GET /large HTTP/1.1\r\n\r\n")
            assert dropped.wait(60)
            monkeypatch.setattr(daemon.http, "PATIENCE", patience)
            assert ask(server, "/healthz")[0] == 200
            received = 0
            with contextlib.suppress(ConnectionResetError):
                while chunk := deaf.recv(1 << 20):
                    received += len(chunk)
            assert received < 50_000_000
    finally:
        server.close()


def test_newest_client_is_served_when_all_places_are_taken(server: Server) -> None:
    silent = [
        socket.create_connection(("127.0.0.1", server.address.port), timeout=60)
        for _ in range(MAX_CONNECTIONS + 10)
    ]
    try:
        assert ask(server, "/healthz")[0] == 200
    finally:
        for one in silent:
            one.close()


def test_address_in_use_is_one_line_that_names_it(server: Server, shown: Daemon) -> None:
    with pytest.raises(OSError, match=rf"^cannot listen on {server.address}: Address already in use$"):
        serve(server.address, registry=shown.registry, ready=lambda: None, page=shown.page)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "a" * 70 + ".x"])
def test_unknown_host_is_one_line_that_names_it(host: str, shown: Daemon) -> None:
    with pytest.raises(OSError, match=rf"^cannot listen on {host}:1: [^\n]+$"):
        serve(Address(host, 1), registry=shown.registry, ready=lambda: None, page=shown.page)


def test_empty_host_is_every_address(shown: Daemon) -> None:
    server = serve(Address("", 0), registry=shown.registry, ready=lambda: None, page=shown.page)
    try:
        assert ask(server, "/healthz")[0] == 200
    finally:
        server.close()


def test_closed_server_takes_no_more_and_closes_twice(server: Server) -> None:
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "/healthz")
