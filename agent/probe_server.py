"""The probe's side of the socket: one thread, one selector, one run at a time.

A slow or silent client costs a buffer and is dropped at its deadline. A request that comes while a run is
under way waits for its turn. What is not understood is refused with a reason. Changes of the device are told
to every client that has greeted.
"""

import logging
import selectors
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence

from agent import wire
from agent.devices import Source
from preflight.framing import Decoder, FramingError
from preflight.report import Report
from preflight.result import NO_EVIDENCE, one_line
from preflight.runner import UnknownCheckError

MAX_CLIENTS = 16
"""Open connections; there is one agent, and the oldest connection makes room for the newest."""

PATIENCE = 10.0
"""Seconds for a first message, for the rest of one that has begun, and for taking a reply."""

_CREDENTIALS = struct.Struct("3i")
# struct ucred of unix(7): pid, uid, gid

log = logging.getLogger("probe")


class Client:
    """One connection."""

    __slots__ = ("closing", "deadline", "decoder", "greeted", "inbox", "output", "request", "since", "socket")

    def __init__(self, connection: socket.socket, now: float) -> None:
        """Takes over a connected socket."""
        connection.settimeout(0)
        self.socket = connection
        self.decoder = Decoder(wire.MAX_REQUEST)
        self.inbox: deque[object] = deque()
        self.output = bytearray()
        self.deadline: float | None = now + PATIENCE
        self.greeted = False
        self.closing = False
        self.request: wire.RunRequest | None = None
        self.since = now

    def gone(self) -> bool:
        """Whether the other side has closed the connection, seen without reading from it."""
        try:
            return not self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True


class Server:
    """Serves runs on a listening socket, or on one connected socket."""

    def __init__(
        self,
        examine: Callable[[wire.RunRequest], Report],
        *,
        welcome: Callable[[], wire.Welcome],
        monotonic: Callable[[], float],
        listener: socket.socket | None = None,
        channel: socket.socket | None = None,
        sources: Sequence[Source] = (),
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepares to serve.

        Args:
            examine: Runs the checks; blocks until they have ended.
            welcome: What a client that greets is told.
            monotonic: A clock in seconds.
            listener: Socket on which clients connect.
            channel: Socket of the only client; serving ends with it.
            sources: What tells of changes of the device.
            rest: Called when nobody waits for a run: time for what need not be done while somebody does.
        """
        self._examine = examine
        self._welcome = welcome
        self._monotonic = monotonic
        self._listener = listener
        self._sources = sources
        self._rest = rest
        self._only: Client | None = None
        self._clients: dict[int, Client] = {}
        self._waiting: deque[Client] = deque()
        self._selector = selectors.DefaultSelector()
        if listener is not None:
            listener.settimeout(0)
            self._selector.register(listener, selectors.EVENT_READ, self._accept)
        for source in sources:
            self._selector.register(source, selectors.EVENT_READ, lambda source=source: self._tell(source))
        if channel is not None:
            self._only = self._add(channel)

    def serve(self) -> None:
        """Serves until an exception ends it, or until the only client is gone; then closes everything."""
        try:
            self._loop()
        finally:
            for client in list(self._clients.values()):
                self._drop(client)
            self._selector.close()
            for source in self._sources:
                source.close()
            if self._listener is not None:
                self._listener.close()

    def _loop(self) -> None:
        while self._only is None or self._only.socket.fileno() in self._clients:
            if not self._waiting:
                self._rest()
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            now = self._monotonic()
            for client in [one for one in self._clients.values() if one.deadline and one.deadline <= now]:
                log.warning("client too slow, dropped", extra={"descriptor": client.socket.fileno()})
                self._drop(client)
            if self._waiting:
                self._run(self._waiting.popleft())

    def _timeout(self) -> float | None:
        if self._waiting:
            return 0
        deadlines = [client.deadline for client in self._clients.values() if client.deadline]
        return max(0.0, min(deadlines) - self._monotonic()) if deadlines else None

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 -- only a registered listener calls this
        try:
            connection, _ = self._listener.accept()
        except OSError:  # the client is gone already
            return
        if len(self._clients) >= MAX_CLIENTS:
            self._drop(next(iter(self._clients.values())))
        client = self._add(connection)
        pid, user, group = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        log.info(
            "client connected",
            extra={"descriptor": client.socket.fileno(), "pid": pid, "uid": user, "gid": group},
        )

    def _add(self, connection: socket.socket) -> Client:
        client = Client(connection, self._monotonic())
        self._clients[connection.fileno()] = client
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._advance(client))
        return client

    def _advance(self, client: Client) -> None:
        if client.socket.fileno() not in self._clients:  # dropped since the selector has seen it
            return
        try:
            if client.output:
                self._flush(client)
            elif client.request is not None:
                if client.gone():
                    self._drop(client)
            else:
                data = client.socket.recv(1 << 16)
                if not data:
                    self._drop(client)
                    return
                self._receive(client, data)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)

    def _receive(self, client: Client, data: bytes) -> None:
        try:
            client.inbox += client.decoder.feed(data)
        except FramingError as error:
            self._refuse(client, str(error))
            return
        self._take(client)

    def _take(self, client: Client) -> None:
        """Acts on the messages of a client, up to its first request for a run."""
        try:
            while client.inbox and client.request is None and not client.closing:
                request = wire.decode_request(client.inbox.popleft())
                if isinstance(request, wire.RunRequest):
                    client.request, client.since = request, self._monotonic()
                    self._waiting.append(client)
                else:
                    client.greeted = True
                    self._send(client, self._welcome())
        except wire.WireError as error:
            self._refuse(client, str(error))
        if not client.output:
            client.deadline = self._monotonic() + PATIENCE if client.decoder.partial else None

    def _run(self, client: Client) -> None:
        request = client.request
        if request is None or client.socket.fileno() not in self._clients or client.gone():
            self._drop(client)
            return
        left = request.timeout - (self._monotonic() - client.since)
        if left < wire.MIN_SECONDS:
            self._refuse(client, "the run's time was over before its turn came")
            return
        try:
            report = self._examine(request._replace(timeout=left))
        except UnknownCheckError as error:
            self._refuse(client, str(error))
            return
        except Exception as error:
            # The last line of defence: whatever is wrong with one run, the probe answers the next.
            log.exception("run failed")
            self._refuse(client, one_line(f"the run failed: {type(error).__name__}: {error}"))
            return
        client.request = None
        self._send(client, wire.Answer(report))
        if not client.closing:
            self._take(client)

    def _tell(self, source: Source) -> None:
        for change in source.changes():
            log.info("device changed", extra={"change": change})
            for client in [one for one in self._clients.values() if one.greeted]:
                self._send(client, wire.DeviceChange(one_line(change)))

    def _refuse(self, client: Client, reason: str) -> None:
        log.warning("request refused", extra={"descriptor": client.socket.fileno(), "reason": reason})
        client.request = None
        client.closing = True
        self._send(client, wire.Refusal(one_line(reason)))

    def _send(self, client: Client, reply: wire.Reply) -> None:
        if client.socket.fileno() not in self._clients:
            return
        client.output += encode(reply)
        client.deadline = self._monotonic() + PATIENCE
        try:
            self._flush(client)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)

    def _flush(self, client: Client) -> None:
        try:
            while client.output:
                del client.output[: client.socket.send(client.output)]
        finally:
            wanted = selectors.EVENT_WRITE if client.output else selectors.EVENT_READ
            self._selector.modify(client.socket, wanted, self._selector.get_key(client.socket).data)
        client.deadline = None
        if client.closing:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        if self._clients.pop(client.socket.fileno(), None) is not None:
            self._selector.unregister(client.socket)
            client.socket.close()


def encode(reply: wire.Reply) -> bytes:
    """Encodes a reply; a report that is too long loses its evidence, and is refused if that is not enough."""
    try:
        return wire.encode_reply(reply)
    except wire.WireError as error:
        if isinstance(reply, wire.Answer) and any(result.evidence for result in reply.report.results):
            results = tuple(result._replace(evidence=NO_EVIDENCE) for result in reply.report.results)
            return encode(wire.Answer(reply.report._replace(results=results)))
        return wire.encode_reply(wire.Refusal(f"the report cannot be sent: {error}"))
