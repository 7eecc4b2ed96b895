"""Runs a program that is spoken to over a socket: bounded time, bounded memory, nothing left behind.

The socket is the program's standard input, one end of a pair: there is no path that others could connect to.
All that it writes is read, so that it never waits for us, and what is too much is dropped. It stays in the
process group of the check: who ends the check ends it too, and all that it started.
"""

import contextlib
import errno
import time
from collections.abc import Sequence
from typing import NamedTuple

from preflight.process import Child
from preflight.streams import Stream, listen


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
                answers, output = streams = (Stream(ours.fileno()), Stream(process.stdout.fileno()))
                status = listen(child, streams, time.monotonic() + timeout)
                if status is None:
                    raise TimeoutError(errno.ETIMEDOUT, f"did not end in {timeout:g} s", arguments[0])
            finally:
                if child.exit_code is None:
                    _kill_started(process.pid)
                process.kill()
                process.wait()
                child.collect()
            return Ended(status, answers.kept, output.kept)


def _kill_started(pid: int) -> None:
    """Kills all that a program has started and is still the ancestor of."""
    # Imported here: it takes as long as a whole run, and only a program that hangs is asked.
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                one.kill()
