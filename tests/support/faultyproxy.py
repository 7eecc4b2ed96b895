"""A proxy before a real API server that refuses, delays, loses and cuts what a test tells it to.

Clients speak plain HTTP to it, it speaks TLS to the API server, and what it is not told to spoil passes as it
is. A rule looks at each call and returns what is to become of it; open watches are spoilt from outside
(`FaultyProxy.watches`).
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import parse_qsl, urlsplit

from controlplane import LOOPBACK, ControlPlane

SECONDS = 60.0
"""How long a call is held at most, and an answer of the API server waited for."""
HOP_BY_HOP = ("connection", "content-length", "host", "transfer-encoding")


@dataclass(frozen=True)
class Call:
    """A request as it came.

    Attributes:
        method: HTTP method.
        path: Path without the query.
        query: Query parameters.
        headers: Header fields, names in lower case.
        body: Body.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def writes(self) -> bool:
        """Whether it is to change something."""
        return self.method != "GET"

    @property
    def watches(self) -> bool:
        """Whether it opens a watch."""
        return self.query.get("watch") == "true"

    def json(self) -> Mapping[str, object]:
        """Returns the object in the body, empty where there is none."""
        decoded = json.loads(self.body) if self.body else {}
        assert isinstance(decoded, dict)
        return decoded


class Exchange:
    """A call, and the ways in which it can end."""

    def __init__(self, proxy: "FaultyProxy", call: Call, client: socket.socket) -> None:
        self.call = call
        self._proxy = proxy
        self._client = client

    @property
    def abandoned(self) -> bool:
        """Whether the client has closed its connection, as a process does that was killed."""
        try:
            return not self._client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def forward(self) -> tuple[int, Mapping[str, str], bytes]:
        """Has the API server carry it out; returns status, header fields and body of the answer.

        Raises:
            OSError: The API server does not answer.
        """
        connection = self._proxy.connect()
        try:
            self._send(connection)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no answer: {error}") from error
        finally:
            connection.close()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answers the client."""
        kept = {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
        fields = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
        head = f"HTTP/1.1 {status} Reason\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
        self._client.sendall(head.encode() + body)

    def reset(self) -> None:
        """Ends the client's connection with RST.

        Raises:
            ConnectionResetError: Always: nothing more is read from it.
        """
        reset_when_closed(self._client)
        raise ConnectionResetError

    def wait(self, event: threading.Event) -> None:
        """Holds it until an event, or until the proxy ends."""
        for _ in range(int(SECONDS / 0.05)):
            if self._proxy.over.is_set() or event.wait(0.05):
                return

    def watch(self, *, without: bytes = b"") -> None:
        """Passes a watch on, event by event, but for those that contain ``without``."""
        connection = self._proxy.connect()
        try:
            self._send(connection)
            server = connection.sock
            answer = connection.getresponse()
            if answer.status != 200:
                self.answer(answer.status, dict(answer.getheaders()), answer.read())
                return
            stream = Watch(self.call, self._client, server, without)
            self._proxy.opened(stream)
            try:
                stream.run(answer)
            finally:
                self._proxy.closed(stream)
        except http.client.HTTPException as error:
            raise OSError(f"the watch broke off: {error}") from error
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection) -> None:
        fields = {name: value for name, value in self.call.headers.items() if name not in HOP_BY_HOP}
        target = self.call.headers[":target"]
        fields.pop(":target")
        connection.request(self.call.method, target, self.call.body or None, fields)


Fault = Callable[[Exchange], None]
"""What becomes of a call."""
Rule = Callable[[Call], Fault | None]
"""Looks at a call; None leaves it to the next rule."""


def status(code: int, reason: str, **headers: str) -> Fault:
    """Answers with a Status object; the API server never sees the call."""
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    body = json.dumps({**said, "message": f"made up: {reason}"}).encode()
    fields = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return lambda exchange: exchange.answer(code, fields, body)


def lost(exchange: Exchange) -> None:
    """Has the call carried out and loses the answer."""
    exchange.forward()
    exchange.reset()


def never_sent(exchange: Exchange) -> None:
    """Loses the call itself."""
    exchange.reset()


def carried_out_but(code: int, reason: str) -> Fault:
    """Has the call carried out and answers with a Status object, as an overloaded API server may."""
    told = status(code, reason)

    def fault(exchange: Exchange) -> None:
        if exchange.call.writes:  # else there is nothing to carry out, and a watch would not end
            exchange.forward()
        told(exchange)

    return fault


def event(kind: str, body: Mapping[str, object]) -> bytes:
    """Returns one line of a watch."""
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


GONE = event(
    "ERROR",
    {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"},
)
"""What a watch says whose resource version is too old."""


class Watch:
    """A watch that passes through.

    Attributes:
        call: What opened it.
        frozen: Nothing is passed on any more, and nobody is told: a half-open connection.
    """

    def __init__(self, call: Call, client: socket.socket, server: socket.socket, without: bytes) -> None:
        self.call = call
        self._without = without
        self.frozen = threading.Event()
        self._client = client
        self._server = server
        self._lock = threading.Lock()
        self._ended = False

    def run(self, answer: http.client.HTTPResponse) -> None:
        """Passes events on until one side ends it."""
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        self._client.sendall(head.encode())
        while line := answer.readline():
            if not self._without or self._without not in line:
                self.send(line)
        with self._lock:
            if self._ended:
                raise ConnectionResetError
            if not self.frozen.is_set():
                self._client.sendall(b"0\r\n\r\n")

    def send(self, line: bytes) -> None:
        """Sends one line to the client."""
        with self._lock:
            if not self.frozen.is_set() and not self._ended:
                self._client.sendall(_chunk(line))

    def reset(self) -> None:
        """Ends it with RST."""
        reset_when_closed(self._client)
        self._end(b"")

    def cut(self) -> None:
        """Ends it in the middle of a chunk, in the middle of an event."""
        self._end(b'100\r\n{"type":"MODI')

    def fail(self, line: bytes) -> None:
        """Sends a last line, and ends it in good order."""
        self._end(_chunk(line) + b"0\r\n\r\n")

    def _end(self, last: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._client.sendall(last)
            self._ended = True
        # Through a second descriptor: shutdown() of an SSLSocket takes its state away under its reader.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._server.fileno())) as twin:
            twin.shutdown(socket.SHUT_RDWR)


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def reset_when_closed(connection: socket.socket) -> None:
    """Has a connection end with RST, as that of a peer that crashed or of a load balancer does."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass
class FaultyProxy:
    """The proxy, from entering the context to leaving it.

    Attributes:
        plane: The control plane behind it.
        rules: Asked in order, for every call.
        calls: What came, in order.
    """

    plane: ControlPlane
    rules: list[Rule] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._watches: list[Watch] = []
        self._clients: set[socket.socket] = set()
        self._tls = ssl.create_default_context(cafile=str(self.plane.ca_file))
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.url = f"http://{LOOPBACK}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        with self._lock:
            ending = [self._listener, *self._clients]
            watches = list(self._watches)
        for one in ending:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for watch in watches:
            watch.reset()
        self._listener.close()

    def watches(self, plural: str = "") -> list[Watch]:
        """Returns the open watches, of one resource where it is named."""
        with self._lock:
            return [one for one in self._watches if one.call.path.endswith(plural)]

    def connect(self) -> http.client.HTTPSConnection:
        """Returns a connection to the API server."""
        url = urlsplit(self.plane.server)
        assert url.hostname is not None
        return http.client.HTTPSConnection(url.hostname, url.port, timeout=SECONDS, context=self._tls)

    def opened(self, watch: Watch) -> None:
        """Notes an open watch."""
        with self._lock:
            self._watches.append(watch)

    def closed(self, watch: Watch) -> None:
        """Notes that a watch has ended."""
        with self._lock:
            self._watches.remove(watch)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), name="proxied", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._clients.add(client)
        # A side that goes away ends this in an OSError, a closed file in a ValueError.
        with contextlib.suppress(OSError, ValueError), client, client.makefile("rb") as file:
            while (call := _read(file)) is not None:
                with self._lock:
                    self.calls.append(call)
                exchange = Exchange(self, call, client)
                fault = next(self._faults(call), None)
                if fault is not None:
                    fault(exchange)
                elif call.watches:
                    exchange.watch()
                else:
                    exchange.answer(*exchange.forward())
        with self._lock:
            self._clients.discard(client)

    def _faults(self, call: Call) -> Iterator[Fault]:
        for rule in list(self.rules):
            if (fault := rule(call)) is not None:
                yield fault


def _read(file: BinaryIO) -> Call | None:
    line = file.readline().decode()
    if not line.strip():
        return None
    method, target, _ = line.split(" ", 2)
    headers = {":target": target}
    while entry := file.readline().decode().strip():
        name, _, value = entry.partition(":")
        headers[name.lower()] = value.strip()
    body = file.read(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    return Call(method, url.path, dict(parse_qsl(url.query)), headers, body)
