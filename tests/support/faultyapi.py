"""An HTTP server on loopback that answers as a test's script says: wrongly, late, in part, or not at all.

It speaks through a raw socket, so that faults below HTTP can be made too: resets, silence, cut streams.
"""

import contextlib
import json
import queue
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import parse_qsl, urlsplit

PATIENCE = 60.0
"""Seconds that anything here waits at most."""


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: object


@dataclass
class Exchange:
    """A request and the socket to answer on."""

    request: Request
    socket: socket.socket
    file: BinaryIO
    over: threading.Event

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reset(self) -> None:
        """Ends the connection with RST, as a peer that crashed or a load balancer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()


Responder = Callable[[Exchange], None]


def answer(status: int, body: object, **headers: str) -> Responder:
    """Answers with a whole response; a body of bytes is sent as it is."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Length": str(len(data)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return lambda exchange: exchange.send(f"HTTP/1.1 {status} Some Reason\r\n{head}\r\n".encode() + data)


def raw(data: bytes) -> Responder:
    """Sends bytes and ends the connection."""

    def respond(exchange: Exchange) -> None:
        exchange.send(data)
        exchange.close()

    return respond


def reset(exchange: Exchange) -> None:
    """Resets the connection without an answer."""
    exchange.reset()


def silence(exchange: Exchange) -> None:
    """Says nothing until the server is closed: a half-open connection, seen from the client."""
    exchange.over.wait(PATIENCE)


def status(code: int, reason: str, message: str = "", **headers: str) -> Responder:
    """Answers with a Status object."""
    return answer(code, status_object(code, reason, message), **headers)


def status_object(code: int, reason: str, message: str = "") -> dict[str, object]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


def event(kind: str, obj: object) -> bytes:
    """Returns one line of a watch."""
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


class Live:
    """A watch that a test feeds while it is open."""

    def __init__(self, *data: bytes) -> None:
        self._steps: queue.Queue[Responder | None] = queue.Queue()
        self.opened = threading.Event()
        self.send(*data)

    def send(self, *data: bytes) -> Self:
        """Sends bytes, each as one chunk."""
        return self._then(*(_sending(chunk(one)) for one in data))

    def end(self) -> Self:
        """Ends the stream in good order."""
        return self._then(_sending(b"0\r\n\r\n"), None)

    def reset(self) -> Self:
        """Ends it with a reset."""
        return self._then(reset, None)

    def cut(self) -> Self:
        """Ends the connection in the middle of a chunk."""
        return self._then(_sending(b"100\r\n{"), Exchange.close, None)

    def __call__(self, exchange: Exchange) -> None:
        exchange.send(STREAM)
        self.opened.set()
        while not exchange.over.is_set():
            try:
                step = self._steps.get(timeout=0.02)
            except queue.Empty:
                continue
            if step is None:
                return
            step(exchange)

    def _then(self, *steps: Responder | None) -> Self:
        for step in steps:
            self._steps.put(step)
        return self


def _sending(data: bytes) -> Responder:
    return lambda exchange: exchange.send(data)


@dataclass
class FaultyAPI:
    """The server: each request is answered by the next responder; after the last one by silence.

    Attributes:
        script: The responders that are still to come.
        tls: Serves HTTPS.
        requests: What came.
        connections: How many connections were made.
    """

    script: list[Responder] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._lock = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def wait_for_requests(self, count: int) -> list[Request]:
        """Waits until so many requests came, and returns them."""
        with self._lock:
            came = self._lock.wait_for(lambda: len(self.requests) >= count, PATIENCE)
            assert came, f"{count} requests expected, these came: {self.requests}"
            return list(self.requests)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._open.append(connection)
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that goes away ends this in an OSError, a responder that closed the file in a ValueError.
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(OSError, ValueError))
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            stack.enter_context(connection)
            file = stack.enter_context(connection.makefile("rb"))
            while line := file.readline().decode():
                method, target, _ = line.split(" ", 2)
                headers: dict[str, str] = {}
                while field_line := file.readline().decode().strip():
                    name, _, value = field_line.partition(":")
                    headers[name.lower()] = value.strip()
                body = file.read(int(headers.get("content-length", "0")))
                url = urlsplit(target)
                path = target if method == "CONNECT" else url.path
                request = Request(
                    method, path, dict(parse_qsl(url.query)), headers, json.loads(body) if body else None
                )
                with self._lock:
                    self.requests.append(request)
                    respond = self.script.pop(0) if self.script else silence
                    self._lock.notify_all()
                respond(Exchange(request, connection, file, self._over))
