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
from http import HTTPStatus

from prometheus_client import CollectorRegistry, disable_created_metrics

from daemon.address import Address
from daemon.endpoints import TEXT, Content, Endpoints, response
from daemon.request import MAX_HEAD

MAX_CONNECTIONS = 64
"""Open connections; a kubelet and two Prometheus servers need three."""

PATIENCE = 5.0
"""Seconds that a client has to send its request, and again to take the answer."""

LINGER = 1.0
"""Seconds in which what a client still sends is read and dropped; closing at once would reset the answer."""

# The client library leaves this without types.
_no_created_series: Callable[[], None] = disable_created_metrics


@dataclass(slots=True)
class _Connection:
    """One client: reads until ``answered``, then writes ``output``, then drains what is still sent."""

    socket: socket.socket
    deadline: float
    input: bytearray = field(default_factory=bytearray)
    output: memoryview = field(default_factory=lambda: memoryview(b""))
    answered: bool = False
    draining: bool = False


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
