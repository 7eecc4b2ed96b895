"""The HTTP endpoints of a daemon: ``/metrics``, ``/healthz``, ``/readyz``, a page at ``/``, and nothing else.

One thread serves every connection from one selector, so a slow, silent or hostile client costs a buffer and
never a thread: each has a deadline from its first byte to its last, and the oldest makes room for the newest.
A connection carries one request.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import structlog
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from daemon.address import Address
from daemon.request import MAX_HEAD, Request, RequestError, parse, wants_openmetrics

MAX_CONNECTIONS = 64
"""Open connections; a kubelet and two Prometheus servers need three."""

PATIENCE = 5.0
"""Seconds that a client has to send its request, and again to take the answer."""

LINGER = 1.0
"""Seconds in which what a client still sends is read and dropped; closing at once would reset the answer."""

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TEXT = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Content = tuple[str, bytes]
"""A content type and a body."""

# The client library leaves these without types.
_text: Callable[[CollectorRegistry], bytes] = generate_latest
_openmetrics: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest
_no_created_series: Callable[[], None] = disable_created_metrics

log = structlog.get_logger()


@dataclass(slots=True)
class _Connection:
    """One client: reads until ``answered``, then writes ``output``, then drains what is still sent."""

    socket: socket.socket
    deadline: float
    input: bytearray = field(default_factory=bytearray)
    output: memoryview = field(default_factory=lambda: memoryview(b""))
    answered: bool = False
    draining: bool = False


class Endpoints:
    """What is served: turns a request into an answer; knows nothing of sockets."""

    def __init__(
        self,
        *,
        registry: CollectorRegistry,
        ready: Callable[[], str | None],
        page: Callable[[], str],
        routes: Mapping[str, Callable[[], Content | None]],
    ) -> None:
        """Takes the same arguments as `serve`."""
        self._registry = registry
        self._ready = ready
        self._page = page
        self._routes = routes

    def answer(self, head: bytes) -> bytes:
        """Returns the bytes of the answer to the head of a request."""
        try:
            request = parse(head)
        except RequestError as error:
            return response(error.status, (TEXT, f"{error}\n".encode()))
        try:
            status, content = self._look_up(request)
        except Exception:
            # The one place that stands between a page that cannot be made and a daemon without endpoints.
            log.exception("request failed", path=request.path)
            status, content = HTTPStatus.INTERNAL_SERVER_ERROR, (TEXT, b"internal error; see the log\n")
        return response(status, content, with_body=request.method != "HEAD")

    def _look_up(self, request: Request) -> tuple[HTTPStatus, Content]:
        match request.path:
            case "/":
                return HTTPStatus.OK, (HTML, self._page().encode("utf-8", "replace"))
            case "/metrics" if wants_openmetrics(request.accept):
                return HTTPStatus.OK, (OPENMETRICS_TEXT, _openmetrics(self._registry))
            case "/metrics":
                return HTTPStatus.OK, (PROMETHEUS_TEXT, _text(self._registry))
            case "/healthz":
                return HTTPStatus.OK, (TEXT, b"ok\n")
            case "/readyz":
                reason = self._ready()
                if reason is None:
                    return HTTPStatus.OK, (TEXT, b"ok\n")
                return HTTPStatus.SERVICE_UNAVAILABLE, (TEXT, f"{reason}\n".encode("utf-8", "replace"))
            case path if path in self._routes:
                content = self._routes[path]()
                if content is None:
                    return HTTPStatus.SERVICE_UNAVAILABLE, (TEXT, b"not there yet\n")
                return HTTPStatus.OK, content
            case _:
                return HTTPStatus.NOT_FOUND, (TEXT, b"not found\n")


def response(status: HTTPStatus, content: Content, *, with_body: bool = True) -> bytes:
    """Returns the bytes of an HTTP/1.1 response that ends its connection."""
    kind, body = content
    fields = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        fields.append("Allow: GET, HEAD")
    return "\r\n".join([*fields, "", ""]).encode("latin-1") + (body if with_body else b"")


class Server:
    """A running HTTP server.

    Attributes:
        address: The address that it listens on, with the real port.
    """

    def __init__(self, listener: socket.socket, endpoints: Endpoints, host: str) -> None:
        """Serves ``endpoints`` on a listening socket, in a thread of its own."""
        self.address = Address(host, listener.getsockname()[1])
        self._endpoints = endpoints
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, _Connection] = {}
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving and closes every connection."""
        if self._thread.is_alive():
            self._wake.send(b"x")
            self._thread.join(timeout=1)

    def _serve(self) -> None:
        while True:
            deadlines = [connection.deadline for connection in self._connections.values()]
            timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
            for key, _ in self._selector.select(timeout):
                if key.fileobj is self._woken:
                    self._close_all()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif (connection := self._connections.get(key.fd)) is not None:
                    self._advance(connection)
            now = time.monotonic()
            for connection in [one for one in self._connections.values() if one.deadline <= now]:
                self._expire(connection)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            # The client is gone already, or descriptors are short: the others are served on.
            self._make_room()
            return
        client.settimeout(0)
        if len(self._connections) >= MAX_CONNECTIONS:
            self._make_room()
        self._connections[client.fileno()] = _Connection(client, time.monotonic() + PATIENCE)
        self._selector.register(client, selectors.EVENT_READ)

    def _make_room(self) -> None:
        if self._connections:
            self._drop(next(iter(self._connections.values())))
        else:
            time.sleep(0.1)  # descriptors are short elsewhere in the process: do not spin meanwhile

    def _advance(self, connection: _Connection) -> None:
        try:
            if connection.draining:
                if not connection.socket.recv(1 << 16):
                    self._drop(connection)
            elif connection.answered:
                connection.output = connection.output[connection.socket.send(connection.output) :]
                self._finish(connection)
            else:
                self._read(connection)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)

    def _read(self, connection: _Connection) -> None:
        chunk = connection.socket.recv(1 << 14)
        if not chunk:
            self._drop(connection)
            return
        connection.input += chunk
        # A client may end its lines with a bare LF (RFC 9112, 2.2).
        head, end, _ = connection.input.replace(b"\r\n", b"\n").partition(b"\n\n")
        if len(head) > MAX_HEAD:
            message = f"the request's head is longer than {MAX_HEAD} bytes\n".encode()
            self._answer(connection, response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, (TEXT, message)))
        elif end:
            self._answer(connection, self._endpoints.answer(bytes(head)))

    def _answer(self, connection: _Connection, output: bytes) -> None:
        connection.answered = True
        connection.output = memoryview(output)
        connection.deadline = time.monotonic() + PATIENCE
        self._selector.modify(connection.socket, selectors.EVENT_WRITE)

    def _finish(self, connection: _Connection) -> None:
        if connection.output:
            return
        connection.draining = True
        connection.deadline = min(connection.deadline, time.monotonic() + LINGER)
        connection.socket.shutdown(socket.SHUT_WR)
        self._selector.modify(connection.socket, selectors.EVENT_READ)

    def _expire(self, connection: _Connection) -> None:
        if connection.answered:
            self._drop(connection)
        else:
            late = (TEXT, f"no request within {PATIENCE:g} s\n".encode())
            self._answer(connection, response(HTTPStatus.REQUEST_TIMEOUT, late))

    def _drop(self, connection: _Connection) -> None:
        del self._connections[connection.socket.fileno()]
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def _close_all(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._selector.close()
        for one in (self._listener, self._wake, self._woken):
            one.close()


def listen(address: Address) -> socket.socket:
    """Returns a listening, non-blocking socket; an empty host is every address, of IPv6 and IPv4.

    Raises:
        OSError: One line that names the address and what came back.
    """
    try:
        if address.host:
            family, kind, protocol, _, where = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, protocol)
        elif socket.has_dualstack_ipv6():
            listener, where = socket.socket(socket.AF_INET6, socket.SOCK_STREAM), ("::", address.port)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        else:
            listener, where = socket.socket(socket.AF_INET, socket.SOCK_STREAM), ("", address.port)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(address, error) from None
    try:
        # A restarted daemon takes its port back from connections in TIME_WAIT (socket(7)).
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(MAX_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise _cannot_listen(address, error) from None
    listener.settimeout(0)
    return listener


def _cannot_listen(address: Address, error: Exception) -> OSError:
    cause = error.strerror if isinstance(error, OSError) else str(error)
    return OSError(f"cannot listen on {address}: {cause}")


def serve(
    address: Address,
    *,
    registry: CollectorRegistry,
    ready: Callable[[], str | None],
    page: Callable[[], str],
    routes: Mapping[str, Callable[[], Content | None]] | None = None,
) -> Server:
    """Serves a daemon's endpoints until the server is closed.

    The callables run in the server's thread, one at a time, and must not block.

    Args:
        address: Where to listen; see `daemon.address.parse`.
        registry: What ``/metrics`` shows.
        ready: Returns None when ready, else one line that says what is missing.
        page: Returns the HTML document at ``/``.
        routes: Further paths, each with a function that returns its content type and body, or None before
            they are there.

    Raises:
        OSError: The address cannot be listened on; one line that names it.
    """
    # The client library's extra `_created` series are not among the names that users hold on to.
    _no_created_series()
    endpoints = Endpoints(registry=registry, ready=ready, page=page, routes=routes or {})
    return Server(listen(address), endpoints, address.host)
