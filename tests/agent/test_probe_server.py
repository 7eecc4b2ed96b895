"""The probe's side of the socket, over real sockets, with runs that the tests make up."""

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reports import report
from waiting import until

from agent import probe_server, wire
from agent.devices import Directory
from agent.probe_server import MAX_CLIENTS, Server
from agent.probe_socket import listen
from agent.wire import Answer, DeviceChange, Hello, Refusal, Reply, RunRequest, Welcome
from preflight.framing import Decoder
from preflight.report import Mode, Report
from preflight.result import Result, Status

RESULT = Result("KVM", Status.PASS, True, "GuestRan", "a guest ran", None, {"path": "x" * 100}, 0.01)
REPORT = report(RESULT, passed=True, mode=Mode.HARDWARE)


class Ended(BaseException):
    """Ends a server's thread."""


class Peer:
    """A client that speaks the protocol, or does not."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(60)
        self.decoder = Decoder(wire.MAX_REPLY)
        self.messages: list[object] = []

    def send(self, *requests: wire.Request) -> None:
        self.socket.sendall(b"".join(wire.encode_request(request) for request in requests))

    def receive(self) -> Reply:
        while not self.messages:
            data = self.socket.recv(1 << 16)
            assert data, "the connection ended"
            self.messages += self.decoder.feed(data)
        return wire.decode_reply(self.messages.pop(0))

    def ended(self) -> bool:
        """Waits for the end of the stream."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


class Bench:
    """A server in a thread, and what its runs do."""

    def __init__(self, path: str, dev: str) -> None:
        self.path = path
        self.requests: list[RunRequest] = []
        self.report: Callable[[], Report] = lambda: REPORT
        self.rested: list[int] = []
        self.server = Server(
            self.examine,
            welcome=lambda: Welcome("0.1.0", 1, 0),
            monotonic=time.monotonic,
            listener=listen(path),
            sources=[Directory(dev)],
            rest=lambda: self.rested.append(len(self.requests)),
        )
        self.peers: list[Peer] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def examine(self, request: RunRequest) -> Report:
        self.requests.append(request)
        return self.report()

    def serve(self) -> None:
        try:
            self.server.serve()
        except Ended:
            return

    def connect(self) -> Peer:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.path)
        self.peers.append(Peer(connection))
        return self.peers[-1]

    def end(self) -> None:
        def leave() -> Report:
            raise Ended

        self.report = leave
        self.connect().send(RunRequest(5))
        self.thread.join(60)
        assert not self.thread.is_alive()
        for peer in self.peers:
            peer.socket.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "dev").mkdir()
    made = Bench(str(tmp_path / "probe.sock"), str(tmp_path / "dev"))
    yield made
    made.end()


def test_greets_and_runs_as_asked(bench: Bench) -> None:
    peer = bench.connect()
    peer.send(Hello())
    assert peer.receive() == Welcome("0.1.0", 1, 0)
    peer.send(RunRequest(30, use_emulation=True, ignored=("Tun",), only=("KVM",)))
    assert peer.receive() == Answer(REPORT)
    (request,) = bench.requests
    assert request[1:] == (True, ("Tun",), ("KVM",))
    assert 0 < request.timeout <= 30


def test_requests_in_one_go_are_answered_in_order(bench: Bench) -> None:
    peer = bench.connect()
    peer.send(Hello(), RunRequest(30), Hello(), RunRequest(30))
    replies = [peer.receive() for _ in range(4)]
    assert replies == [Welcome("0.1.0", 1, 0), Answer(REPORT), Welcome("0.1.0", 1, 0), Answer(REPORT)]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", f"a message of 1195725856 bytes, more than {wire.MAX_REQUEST}"),
        (struct.pack("!I", 4) + b"junk", "a message that is no JSON: JSONDecodeError"),
        (struct.pack("!I", 0), "a message that is no JSON: JSONDecodeError"),
    ],
)
def test_what_is_not_understood_is_refused_and_the_probe_lives(
    bench: Bench, sent: bytes, reason: str
) -> None:
    peer = bench.connect()
    peer.socket.sendall(sent)
    assert peer.receive() == Refusal(reason)
    assert peer.ended()
    other = bench.connect()
    other.send(RunRequest(30))
    assert other.receive() == Answer(REPORT)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_leave_the_probe_alive(bench: Bench, sent: bytes, framed: bool) -> None:
    with socket.socket(socket.AF_UNIX) as rude:
        rude.connect(bench.path)
        rude.sendall(struct.pack("!I", len(sent)) + sent if framed else sent)
    peer = Peer(socket.socket(socket.AF_UNIX))
    with peer.socket:
        peer.socket.connect(bench.path)
        peer.send(Hello())
        assert peer.receive() == Welcome("0.1.0", 1, 0)


def test_silent_and_slow_clients_are_dropped_and_hold_up_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeted, slow = bench.connect(), bench.connect()
    for peer in (greeted, slow):
        peer.send(Hello())
        assert peer.receive() == Welcome("0.1.0", 1, 0)
    monkeypatch.setattr(probe_server, "PATIENCE", 0.2)
    silent = bench.connect()
    slow.socket.sendall(wire.encode_request(Hello())[:7])
    greeted.send(Hello())
    assert greeted.receive() == Welcome("0.1.0", 1, 0)
    assert silent.ended()
    assert slow.ended()
    greeted.send(RunRequest(30))
    assert greeted.receive() == Answer(REPORT)


def test_client_that_takes_no_reply_is_dropped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    other = bench.connect()
    other.send(Hello())
    assert other.receive() == Welcome("0.1.0", 1, 0)
    results = tuple(RESULT._replace(check_name=f"C{number}", message="x" * 2000) for number in range(256))

    def report_and_lose_patience() -> Report:
        monkeypatch.setattr(probe_server, "PATIENCE", 0.2)
        return REPORT._replace(results=results)

    bench.report = report_and_lose_patience
    deaf = bench.connect()
    deaf.send(RunRequest(30))
    other.send(Hello())
    assert other.receive() == Welcome("0.1.0", 1, 0)
    poll = select.poll()
    poll.register(deaf.socket, select.POLLRDHUP)
    assert poll.poll(60_000)


def test_run_that_fails_is_refused_and_the_next_is_run(bench: Bench) -> None:
    def fail() -> Report:
        raise ZeroDivisionError("a\nb")

    bench.report = fail
    peer = bench.connect()
    peer.send(RunRequest(30))
    assert peer.receive() == Refusal("the run failed: ZeroDivisionError: a b")
    assert peer.ended()
    bench.report = lambda: REPORT
    peer = bench.connect()
    peer.send(RunRequest(30))
    assert peer.receive() == Answer(REPORT)


def test_one_run_at_a_time_and_what_comes_meanwhile_waits(bench: Bench) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> Report:
        begun.set()
        assert go_on.wait(60)
        return REPORT

    bench.report = wait
    first, second, late, gone = bench.connect(), bench.connect(), bench.connect(), bench.connect()
    first.send(RunRequest(30))
    assert begun.wait(60)
    second.send(RunRequest(30, only=("KVM",)))
    late.send(RunRequest(30, only=("Late",)))
    gone.send(RunRequest(30, only=("Gone",)))
    gone.socket.close()
    assert len(bench.requests) == 1
    go_on.set()
    assert [peer.receive() for peer in (first, second, late)] == [Answer(REPORT)] * 3
    assert sorted(request.only for request in bench.requests) == [(), ("KVM",), ("Late",)]


def test_request_whose_time_is_over_before_its_turn_is_refused(bench: Bench) -> None:
    second = bench.connect()

    def wait() -> Report:
        if len(bench.requests) == 1:
            time.sleep(0.1)
        return REPORT

    bench.report = wait
    first = bench.connect()
    first.send(RunRequest(30), RunRequest(30))
    assert first.receive() == Answer(REPORT)
    second.send(RunRequest(0.001))
    reply = second.receive()
    assert isinstance(reply, Refusal | Answer)
    assert first.receive() == Answer(REPORT)


def test_change_of_the_device_is_told_to_those_who_greeted(bench: Bench, tmp_path: Path) -> None:
    greeted, silent = bench.connect(), bench.connect()
    greeted.send(Hello())
    assert greeted.receive() == Welcome("0.1.0", 1, 0)
    (tmp_path / "dev" / "kvm").touch()
    assert greeted.receive() == DeviceChange(f"{tmp_path}/dev/kvm appeared")
    silent.send(Hello())
    assert silent.receive() == Welcome("0.1.0", 1, 0)


def test_newest_client_is_served_when_all_places_are_taken(bench: Bench) -> None:
    oldest = bench.connect()
    for _ in range(MAX_CLIENTS):
        newest = bench.connect()
    newest.send(Hello())
    assert newest.receive() == Welcome("0.1.0", 1, 0)
    assert oldest.ended()


def test_report_that_is_too_long_loses_its_evidence_then_is_refused() -> None:
    long = RESULT._replace(evidence={"path": "x" * 2000})
    many = REPORT._replace(results=(long,) * 5000)
    reply = wire.Answer(many._replace(results=many.results[:10]))
    assert probe_server.encode(reply) == wire.encode_reply(reply)
    assert b'"evidence"' not in probe_server.encode(wire.Answer(many))
    assert b'"type":"answer"' in probe_server.encode(wire.Answer(many))
    longest = many._replace(results=(long._replace(message="x" * 2000),) * 5000)
    assert b"the report cannot be sent" in probe_server.encode(wire.Answer(longest))


def test_serving_on_a_channel_ends_with_it() -> None:
    ours, theirs = socket.socketpair()
    server = Server(
        lambda _: REPORT, welcome=lambda: Welcome("0.1.0", 1, 0), monotonic=time.monotonic, channel=theirs
    )
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    peer = Peer(ours)
    peer.send(Hello(), RunRequest(30))
    assert [peer.receive(), peer.receive()] == [Welcome("0.1.0", 1, 0), Answer(REPORT)]
    ours.close()
    thread.join(60)
    assert not thread.is_alive()


def test_what_need_not_be_done_while_somebody_waits_is_done_afterwards(bench: Bench) -> None:
    seen: list[int] = []

    def look() -> Report:
        seen.extend(bench.rested)
        return REPORT

    bench.report = look
    peer = bench.connect()
    peer.send(RunRequest(5))
    assert peer.receive() == Answer(REPORT)
    assert set(seen) == {0}
    until(lambda: bench.rested[-1] == 1, "the rest")
