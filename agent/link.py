"""The agent's connection to its probe, kept up by a thread: greeting, reconnecting, runs, device changes."""

import socket
import threading
from collections.abc import Callable

import structlog

from agent import wire
from agent.dialing import Dial
from agent.unanswered import NOT_UNDERSTOOD, REFUSED, TIMED_OUT, UNAVAILABLE, ProbeError
from cluster.backoff import Backoff
from preflight.framing import Decoder, FramingError
from preflight.report import Report

WELCOME_PATIENCE = 180.0
"""Seconds for the welcome: a probe in the middle of somebody's run greets only after it."""

STABLE = 10.0
"""Seconds that a connection lasts at least for the next attempts to come quickly again."""

SLACK = 3.0
"""Seconds that a run may take longer than asked: the probe must kill and judge what ran over."""

log = structlog.get_logger()


class _Call:
    """A request under way: its thread waits for the reader to put in a result."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: Report | ProbeError | None = None

    def finish(self, result: Report | ProbeError) -> None:
        self.result = result
        self.done.set()


class Link:
    """A connection to the probe that comes back by itself."""

    def __init__(
        self,
        dial: Dial,
        *,
        where: str,
        backoff: Backoff,
        monotonic: Callable[[], float],
        on_device: Callable[[str], None],
        on_state: Callable[[bool], None],
    ) -> None:
        """Prepares a link; `start` starts it.

        Args:
            dial: Makes a connection.
            where: What is dialled, for messages.
            backoff: Delays between attempts.
            monotonic: A clock in seconds.
            on_device: Called, in the link's thread, with each change of the device.
            on_state: Called, in the link's thread, when the probe became reachable or unreachable.
        """
        self._dial = dial
        self._where = where
        self._backoff = backoff
        self._monotonic = monotonic
        self._on_device = on_device
        self._on_state = on_state
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._call: _Call | None = None
        self._up = False
        self._problem = ProbeError(UNAVAILABLE, f"{where}: not connected yet")
        self._thread = threading.Thread(target=self._keep_up, name="link", daemon=True)

    @property
    def up(self) -> bool:
        """Whether the probe has greeted and is still there."""
        return self._up

    @property
    def problem(self) -> str:
        """Why the link is down, one line; the last such reason while it is up."""
        return str(self._problem)

    def start(self) -> None:
        """Starts the thread; once."""
        self._thread.start()

    def stop(self) -> None:
        """Closes the connection and ends the thread."""
        self._stopping.set()
        self._hang_up()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def run(self, request: wire.RunRequest) -> Report:
        """Asks for a run and waits for its report; one at a time.

        Raises:
            ProbeError: There is none.
        """
        data = wire.encode_request(request)
        call = _Call()
        with self._lock:
            connection = self._socket
            if not self._up or connection is None:
                raise self._problem
            self._call = call
        try:
            connection.sendall(data)
        except OSError as error:
            raise ProbeError(UNAVAILABLE, f"{self._where}: {error.strerror}") from error
        if not call.done.wait(request.timeout + SLACK):
            # Whatever still comes must not be taken for the answer to the next request.
            self._hang_up()
            raise ProbeError(TIMED_OUT, f"{self._where}: no answer within {request.timeout + SLACK:.0f} s")
        if isinstance(call.result, Report):
            return call.result
        raise call.result or self._problem

    def _hang_up(self) -> None:
        with self._lock:
            self._up = False
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:  # the other side was faster
                    return

    def _keep_up(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            begun = self._monotonic()
            try:
                connection = self._dial()
            except OSError as error:
                self._down(
                    ProbeError(UNAVAILABLE, f"{self._where}: {error.strerror or error}"), greeted=False
                )
            else:
                with connection:
                    greeted, problem = self._converse(connection)
                self._down(problem, greeted=greeted)
                if greeted and self._monotonic() - begun >= STABLE:
                    failures = 0
            failures += 1
            self._stopping.wait(self._backoff.delay(failures))

    def _converse(self, connection: socket.socket) -> tuple[bool, ProbeError]:
        """Speaks with the probe until the connection ends; returns whether it greeted, and why it ended."""
        with self._lock:
            self._socket = connection
            if self._stopping.is_set():
                return False, ProbeError(UNAVAILABLE, f"{self._where}: stopping")
        decoder = Decoder(wire.MAX_REPLY)
        greeted = False
        try:
            connection.settimeout(WELCOME_PATIENCE)
            connection.sendall(wire.encode_request(wire.Hello()))
            while data := connection.recv(1 << 16):
                for message in decoder.feed(data):
                    reply = wire.decode_reply(message)
                    if isinstance(reply, wire.Welcome) and not greeted:
                        connection.settimeout(None)
                        greeted = True
                        self._greet(reply)
                    elif isinstance(reply, wire.Refusal):
                        return greeted, ProbeError(REFUSED, f"{self._where}: refused: {reply.reason}")
                    else:
                        self._take(reply)
        except (FramingError, wire.WireError) as error:
            return greeted, ProbeError(NOT_UNDERSTOOD, f"{self._where}: sent what is not understood: {error}")
        except OSError as error:
            return greeted, ProbeError(UNAVAILABLE, f"{self._where}: {error.strerror or error}")
        return greeted, ProbeError(UNAVAILABLE, f"{self._where}: the probe ended the connection")

    def _greet(self, welcome: wire.Welcome) -> None:
        self._up = True
        log.info("probe connected", version=welcome.agent_version, checks=welcome.checks, stuck=welcome.stuck)
        self._on_state(True)  # noqa: FBT003 -- a state, and nothing else, is told

    def _take(self, reply: wire.Reply) -> None:
        if isinstance(reply, wire.DeviceChange):
            self._on_device(reply.change)
            return
        if isinstance(reply, wire.Answer):
            with self._lock:
                call, self._call = self._call, None
            if call is not None:
                call.finish(reply.report)
                return
        raise wire.WireError(f"a {type(reply).__name__} that nobody asked for")

    def _down(self, problem: ProbeError, *, greeted: bool) -> None:
        with self._lock:
            self._socket = None
            self._up = False
            said_before = str(problem) == str(self._problem)
            self._problem = problem
            call, self._call = self._call, None
        if call is not None:
            call.finish(problem)
        if not self._stopping.is_set() and (greeted or not said_before):
            log.warning("probe not connected", reason=str(problem))
        self._on_state(False)  # noqa: FBT003 -- a state, and nothing else, is told
