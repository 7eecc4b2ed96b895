"""Probe and agent on a real socket, at whose other end somebody sends anything in pieces of any size."""

import itertools
import socket

from inputs import Source, Target
from reports import EVERY_STATUS, report
from wire_targets import REPLIES, RUN, is_line

from agent import wire
from agent.link import Link
from agent.probe_server import Server
from agent.unanswered import ProbeError
from cluster.backoff import Backoff
from preflight.framing import Decoder, encode
from preflight.report import Report
from preflight.result import MAX_TEXT

REPORT = report(*EVERY_STATUS)
HELLO = {"version": 1, "type": "hello"}


def pieces(source: Source, messages: tuple[dict[str, object], ...]) -> list[bytes]:
    """Returns a stream of messages, some of them spoilt, in pieces."""
    stream = b""
    for _ in range(source.below(5)):
        message: object = source.pick(messages)
        if source.below(4) == 0:
            message = source.spoil(message, ("version", "type"))
        try:
            stream += encode(message)
        except ValueError:  # half a surrogate pair: nobody can send that
            continue
        if source.below(8) == 0:
            stream = stream[: source.below(len(stream))] + source.take(source.below(20))
    cuts = sorted(source.below(len(stream) + 1) for _ in range(source.below(4)))
    return [stream[start:end] for start, end in itertools.pairwise((0, *cuts, len(stream))) if end > start]


def serve_anybody(data: bytes) -> None:
    """Whatever comes in, a probe answers in messages that can be read, and examines only when asked to."""
    source = Source(data)
    left = pieces(source, (HELLO, RUN))
    asked: list[wire.RunRequest] = []
    ours, theirs = socket.socketpair()

    def examine(request: wire.RunRequest) -> Report:
        asked.append(request)
        if source.below(8) == 0:
            raise ValueError("the run \x1b failed\nfor a reason")
        return REPORT

    def rest() -> None:
        if left:
            ours.send(left.pop(0))
        else:
            ours.shutdown(socket.SHUT_WR)

    with ours:
        Server(
            examine,
            welcome=lambda: wire.Welcome("1", 7, 0),
            monotonic=lambda: 0.0,
            channel=theirs,
            rest=rest,
        ).serve()
        received = b""
        while some := ours.recv(1 << 16):
            received += some
    replies = [wire.decode_reply(message) for message in Decoder(wire.MAX_REPLY).feed(received)]
    assert sum(isinstance(reply, wire.Answer) for reply in replies) <= len(asked)
    refusals = [number for number, reply in enumerate(replies) if isinstance(reply, wire.Refusal)]
    assert refusals in ([], [len(replies) - 1])
    assert all(0 < request.timeout <= wire.MAX_SECONDS for request in asked)


def hear_anybody(data: bytes) -> None:
    """Whatever a probe sends, the agent takes what it may say, and ends the rest with one line of why."""
    stream = pieces(Source(data), REPLIES)
    told: list[str] = []
    link = Link(
        lambda: theirs,
        where="/run/probe.sock",
        backoff=Backoff(base=1, cap=1, random=lambda: 0.0),
        monotonic=lambda: 0.0,
        on_device=told.append,
        on_state=lambda _: None,
    )
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            for piece in stream:
                ours.sendall(piece)
        greeted, problem = link._converse(theirs)
    assert isinstance(problem, ProbeError)
    assert is_line(str(problem), 4 * MAX_TEXT)
    assert greeted is link.up
    assert all(is_line(change) for change in told)


TARGETS = (
    Target("probe-socket", serve_anybody),
    Target("agent-socket", hear_anybody),
)
"""Both ends of the probe's socket."""
