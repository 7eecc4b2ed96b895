"""Runs a program that is not ours, in a check's process: what comes in is nothing, what is kept is little.

It starts as a new process should: no input, no descriptor of ours, in ``/``, with umask 022. Both of its
streams are read to their ends, so that it never waits for us, and what is too much is dropped. It stays in
the process group of the check: who ends the check ends it too, and all that it started.
"""

import os
import subprocess  # only where there are executable checks is this module imported, once for all runs
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from preflight.process import Child
from preflight.streams import Stream, listen

MAX_ERRORS = 1 << 10
"""Bytes of its standard error that are kept, from the end."""

MAX_RELAYED = 1 << 10
"""Bytes of each stream that the runner is shown at once: all that is left of a program that it must end."""


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

    Its time is the runner's to keep.

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
        output = Stream(process.stdout.fileno(), relayed=MAX_RELAYED)
        errors = Stream(process.stderr.fileno(), lambda data: data[-MAX_ERRORS:], relayed=MAX_RELAYED)
        try:
            status = listen(child, (output, errors))
        finally:
            process.kill()  # it has ended, unless something was raised here
            process.wait()
            child.collect()
        assert status is not None  # noqa: S101 -- there was no deadline
        return Ended(status, output.kept, errors.kept)
