"""Runs a program that is not ours, in a check's process: what comes in is nothing, what is kept is little.

It starts as a new process should: no input, no descriptor of ours, in ``/``, with umask 022. Both of its
streams are read to their ends, so that it never waits for us, and what is too much is dropped. It stays in
the process group of the check: who ends the check ends it too, and all that it started.
"""

import os
import select
import signal
import subprocess  # only where there are executable checks is this module imported, once for all runs
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from preflight.process import TICK, Child

MAX_OUTPUT = 1 << 16
"""Bytes of its standard output that are kept, from the beginning; as much as a pipe holds (pipe(7))."""

MAX_ERRORS = 1 << 10
"""Bytes of its standard error that are kept, from the end."""

MAX_RELAYED = 1 << 10
"""Bytes of each stream that the runner is shown at once: all that is left of a program that it must end."""

_WATCH = 1.0
"""Seconds between two looks at whether the runner is still there."""


class Ended(NamedTuple):
    """How a program ended.

    Attributes:
        status: Its exit status; negative: the signal that ended it.
        output: The beginning of what it wrote to standard output.
        errors: The end of what it wrote to standard error.
    """

    status: int
    output: bytes
    errors: bytes


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Runs a program and waits for its end, not for that of what it leaves behind.

    Its time is the runner's to keep. Where the runner itself is gone, the whole process group is ended.

    Args:
        arguments: Its path and its arguments; no shell.
        environment: All of its environment.

    Raises:
        OSError: It cannot be started.
    """
    empty, end = os.pipe()  # not /dev/null: what stands in /dev may be what is wrong
    os.close(end)
    try:
        process = subprocess.Popen(
            arguments,
            stdin=empty,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=dict(environment),
            umask=0o022,
        )
    finally:
        os.close(empty)
    with process:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 -- both are pipes
        child = Child(process.pid)
        output = _Stream(process.stdout.fileno(), lambda data: data[:MAX_OUTPUT])
        errors = _Stream(process.stderr.fileno(), lambda data: data[-MAX_ERRORS:])
        try:
            status = _listen(child, (output, errors))
        finally:
            process.kill()  # it has ended, unless something was raised here
            process.wait()
            child.collect()
        return Ended(status, output.kept, errors.kept)


def _listen(child: Child, streams: Sequence["_Stream"]) -> int:
    """Reads what a program writes until it has ended; returns its status."""
    runner = os.getppid()
    watched = child.fileno()
    while True:
        # Asked before the streams are read: what it wrote before its end is then there to be read.
        child.ended()
        status = child.exit_code
        for stream in streams:
            stream.read()
        if status is not None:
            return status
        if os.getppid() != runner:
            os.killpg(0, signal.SIGKILL)
        poll = select.poll()
        for descriptor in (watched, *(stream.descriptor for stream in streams if stream.open)):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        poll.poll((TICK if watched is None else _WATCH) * 1000)


class _Stream:
    """A pipe that a program writes to, and the part of it that is kept."""

    def __init__(self, descriptor: int, keep: Callable[[bytes], bytes]) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.open = True
        self.kept = b""
        self._keep = keep
        self._relay = MAX_RELAYED

    def read(self) -> None:
        """Takes what is there: one read empties a pipe, and who goes on writing does not hold us up."""
        if not self.open:
            return
        try:
            data = os.read(self.descriptor, MAX_OUTPUT)
        except BlockingIOError:
            return
        self.open = bool(data)
        self.kept = self._keep(self.kept + data)
        if shown := data[: self._relay]:
            self._relay -= os.write(2, shown)
