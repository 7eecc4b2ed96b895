"""The agent's connection to its probe: real sockets, and probes that misbehave."""

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import reports
from waiting import until

import agent.link
from agent import wire
from agent.dialing import Child, to_socket
from agent.link import Link
from agent.unanswered import NOT_UNDERSTOOD, REFUSED, TIMED_OUT, UNAVAILABLE, ProbeError
from agent.wire import Answer, DeviceChange, Hello, Refusal, RunRequest, Welcome
from cluster.backoff import Backoff
from preflight.framing import Decoder

REPORT = reports.report(*reports.EVERY_STATUS)
JUNK = "probe: sent what is not understood:"
WELCOME = Welcome("0.1.0", 7, 0)


class Probe:
    """A probe whose answers a test scripts; serves one connection after the other."""

    def __init__(self, path: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.greet = wire.encode_reply(WELCOME)
        self.answer: Callable[[socket.socket], None] = lambda peer: peer.sendall(
            wire.encode_reply(Answer(REPORT))
        )
        self.peer: socket.socket | None = None
        self.requests: list[RunRequest] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                self.peer = peer
                self.converse(peer)

    def converse(self, peer: socket.socket) -> None:
        decoder = Decoder(wire.MAX_REQUEST)
        while data := peer.recv(1 << 16):
            for message in decoder.feed(data):
                request = wire.decode_request(message)
                if isinstance(request, Hello):
                    peer.sendall(self.greet)
                else:
                    self.requests.append(request)
                    self.answer(peer)

    def end(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if self.peer is not None:
            with contextlib.suppress(OSError):
                self.peer.shutdown(socket.SHUT_RDWR)
        self.thread.join(60)


class Bench:
    def __init__(self, path: str) -> None:
        self.path = path
        self.changes: list[str] = []
        self.states: list[bool] = []
        self.link = Link(
            to_socket(path),
            where="probe",
            backoff=Backoff(base=0.01, cap=0.05, random=lambda: 1.0),
            monotonic=time.monotonic,
            on_device=self.changes.append,
            on_state=self.states.append,
        )

    def up(self) -> Link:
        until(lambda: self.link.up, "link up")
        return self.link

    def fails(self, timeout: float = 30) -> ProbeError:
        with pytest.raises(ProbeError) as caught:
            self.link.run(RunRequest(timeout))
        return caught.value


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(str(tmp_path / "probe.sock"))
    made.link.start()
    yield made
    made.link.stop()


@pytest.fixture
def probe(bench: Bench) -> Iterator[Probe]:
    made = Probe(bench.path)
    yield made
    made.end()


def test_asks_and_gets_the_report(bench: Bench, probe: Probe) -> None:
    request = RunRequest(30, use_emulation=True, ignored=("Tun",))
    assert bench.up().run(request) == REPORT
    assert bench.link.run(request) == REPORT
    assert probe.requests == [request, request]
    assert bench.states[-1] is True


def test_before_there_is_a_probe_the_reason_is_told(bench: Bench) -> None:
    until(lambda: "No such file" in bench.link.problem, "a reason")
    error = bench.fails()
    assert error.outcome is UNAVAILABLE
    assert str(error) == "probe: No such file or directory"
    assert not bench.link.up


def test_probe_that_ends_in_the_middle_of_a_run(bench: Bench, probe: Probe) -> None:
    probe.answer = lambda peer: peer.shutdown(socket.SHUT_RDWR)
    bench.up()
    error = bench.fails()
    assert (error.outcome, str(error)) == (UNAVAILABLE, "probe: the probe ended the connection")
    probe.answer = lambda peer: peer.sendall(wire.encode_reply(Answer(REPORT)))
    assert bench.up().run(RunRequest(30)) == REPORT


@pytest.mark.parametrize(
    ("sent", "outcome", "message"),
    [
        (wire.encode_reply(Refusal("no")), REFUSED, "probe: refused: no"),
        (b"\0\0\0\4junk", NOT_UNDERSTOOD, f"{JUNK} a message that is no JSON: JSONDecodeError"),
        (
            b"\xff" * 100,
            NOT_UNDERSTOOD,
            f"{JUNK} a message of 4294967295 bytes, more than {wire.MAX_REPLY}",
        ),
        (
            wire.encode_reply(WELCOME),
            NOT_UNDERSTOOD,
            f"{JUNK} a Welcome that nobody asked for",
        ),
        (
            wire.encode_reply(Answer(REPORT._replace(passed=True))),
            NOT_UNDERSTOOD,
            f"{JUNK} passed: contradicts the results",
        ),
    ],
)
def test_answer_that_is_none(bench: Bench, probe: Probe, sent: bytes, outcome: object, message: str) -> None:
    probe.answer = lambda peer: peer.sendall(sent)
    bench.up()
    error = bench.fails()
    assert (error.outcome, str(error)) == (outcome, message)
    probe.answer = lambda peer: peer.sendall(wire.encode_reply(Answer(REPORT)))
    assert bench.up().run(RunRequest(30)) == REPORT


def test_silence_ends_at_the_deadline_and_a_late_answer_is_not_taken_for_the_next(
    bench: Bench, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent.link, "SLACK", 0.1)
    peers: list[socket.socket] = []
    probe.answer = peers.append
    bench.up()
    error = bench.fails(0.1)
    assert error.outcome is TIMED_OUT
    until(lambda: peers, "the request, though nobody waits for its answer any more")
    with contextlib.suppress(OSError):
        peers[0].sendall(wire.encode_reply(Answer(REPORT._replace(node="late"))))
    probe.answer = lambda peer: peer.sendall(wire.encode_reply(Answer(REPORT)))
    until(lambda: probe.peer is not peers[0], "a new connection")
    assert bench.up().run(RunRequest(30)).node == REPORT.node


def test_answer_that_nobody_asked_for_cuts_the_connection(bench: Bench, probe: Probe) -> None:
    bench.up()
    assert probe.peer is not None
    probe.peer.sendall(wire.encode_reply(Answer(REPORT)))
    until(lambda: "nobody asked" in bench.link.problem, "a reason")
    assert bench.up().run(RunRequest(30)) == REPORT


def test_probe_of_another_version_is_never_up(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path / "probe.sock"))
    probe = Probe(bench.path)
    payload = b'{"version":2,"type":"welcome"}'
    probe.greet = struct.pack("!I", len(payload)) + payload
    bench.link.start()
    until(lambda: "version 2 of the protocol; version 1 is spoken here" in bench.link.problem, "a reason")
    bench.link.stop()
    probe.end()
    assert True not in bench.states


def test_changes_of_the_device_are_handed_on(bench: Bench, probe: Probe) -> None:
    bench.up()
    assert probe.peer is not None
    probe.peer.sendall(wire.encode_reply(DeviceChange("a")) + wire.encode_reply(DeviceChange("b")))
    until(lambda: bench.changes == ["a", "b"], "changes")


def test_stop_ends_a_run_under_way(bench: Bench, probe: Probe) -> None:
    asked = threading.Event()
    probe.answer = lambda _: asked.set()
    bench.up()
    caught: list[ProbeError] = []
    thread = threading.Thread(target=lambda: caught.append(bench.fails(600)))
    thread.start()
    assert asked.wait(60)
    bench.link.stop()
    thread.join(60)
    assert [error.outcome for error in caught] == [UNAVAILABLE]


SPAWNED = """
import socket, sys
from agent import wire
peer = socket.socket(fileno=int(sys.argv[sys.argv.index("--socket") + 1].removeprefix("fd:")))
peer.recv(1000)
peer.sendall(wire.encode_reply(wire.Welcome("0.1.0", 1, 0)))
peer.recv(1000)
"""


def test_child_is_started_again_when_it_ends_and_ended_with_us(bench: Bench) -> None:
    child = Child([sys.executable, "-c", SPAWNED])
    with child() as first:
        first.sendall(wire.encode_request(Hello()))
        assert first.recv(1000) == wire.encode_reply(Welcome("0.1.0", 1, 0))
    with child() as second:
        second.sendall(wire.encode_request(Hello()))
        assert second.recv(1000) == wire.encode_reply(Welcome("0.1.0", 1, 0))
        child.close()
        assert second.recv(1000) == b""
    child.close()


def test_child_that_cannot_be_started_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        Child(["/no/such/program"])()


STUBBORN = """
import signal, socket, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
socket.socket(fileno=int(sys.argv[-1].removeprefix("fd:"))).send(b"x")
signal.pause()
"""


def test_child_that_ignores_the_request_to_end_is_killed() -> None:
    child = Child([sys.executable, "-c", STUBBORN])
    with child() as peer:
        assert peer.recv(1) == b"x"
        child.close()
        assert peer.recv(1) == b""
