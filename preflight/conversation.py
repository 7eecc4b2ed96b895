"""Runs a program that is spoken to over a socket: bounded time, bounded memory, nothing left behind.

The socket is the program's standard input, one end of a pair: there is no path that others could connect to.
All that it writes is read, so that it never waits for us, and what is too much is dropped. It stays in the
process group of the check: who ends the check ends it too, and all that it started.
"""

import contextlib
import errno
import os
import select
import time
from collections.abc import Sequence
from typing import NamedTuple

from preflight.process import TICK, Child

MAX_OUTPUT = 1 << 16
"""Bytes of its answers, and of what it printed, that are kept, from the beginning."""


class Ended(NamedTuple):
    """How a program ended.

    Attributes:
        status: Its exit status; negative: the signal that ended it.
        answers: What it wrote to the socket.
        output: What it printed, standard output and standard error together.
    """

    status: int
    answers: bytes
    output: bytes


def run(arguments: Sequence[str], said: bytes = b"", *, timeout: float) -> Ended:
    """Runs a program and waits for its end, not for that of what it leaves behind.

    Args:
        arguments: Its path and its arguments; no shell.
        said: What it is told at once; it fits into a socket's buffer. Where it is empty, the program's input
            is at its end.
        timeout: Seconds; it and what it started are killed when they have passed.

    Raises:
        OSError: It cannot be started; TimeoutError where it did not end in time.
    """
    # Imported here: it takes longer than a whole run, and few nodes have a program to run.
    import socket
    import subprocess

    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                arguments,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                cwd="/",
            )
        with process:
            child = Child(process.pid)
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its status tells why
                    ours.sendall(said)
                if not said:
                    ours.shutdown(socket.SHUT_WR)
                assert process.stdout is not None  # noqa: S101 -- it is a pipe
                streams = (_Stream(ours.fileno()), _Stream(process.stdout.fileno()))
                if not _listen(child, streams, time.monotonic() + timeout):
                    raise TimeoutError(errno.ETIMEDOUT, f"did not end in {timeout:g} s", arguments[0])
            finally:
                if child.exit_code is None:
                    _kill_started(process.pid)
                process.kill()
                process.wait()
                child.collect()
            answers, output = streams
            return Ended(child.exit_code or 0, bytes(answers.kept), bytes(output.kept))


def _listen(child: Child, streams: Sequence["_Stream"], deadline: float) -> bool:
    """Reads what a program writes until it has ended; returns whether it did in time."""
    watched = child.fileno()
    while True:
        # Asked before the streams are read: what it wrote before its end is then there to be read.
        ended = child.ended()
        for stream in streams:
            stream.read()
        left = deadline - time.monotonic()
        if ended or left <= 0:
            return ended
        poll = select.poll()
        for descriptor in (watched, *(stream.descriptor for stream in streams if stream.open)):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        poll.poll((left if watched is not None else min(left, TICK)) * 1000)


def _kill_started(pid: int) -> None:
    """Kills all that a program has started and is still the ancestor of."""
    # Imported here: it takes as long as a whole run, and only a program that hangs is asked.
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                one.kill()


class _Stream:
    """Where a program writes to, and the part of it that is kept."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.open = True
        self.kept = bytearray()

    def read(self) -> None:
        """Takes what is there: who goes on writing does not hold us up."""
        if not self.open:
            return
        try:
            data = os.read(self.descriptor, MAX_OUTPUT)
        except BlockingIOError:
            return
        except ConnectionResetError:  # it ended with something unread
            data = b""
        self.open = bool(data)
        self.kept += data[: MAX_OUTPUT - len(self.kept)]
