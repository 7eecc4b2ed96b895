"""Starts processes that end with the one that started them, also when that one is killed.

`PR_SET_PDEATHSIG` (prctl(2)) is set by this file run as a program, which then becomes the one asked for. So
the process keeps the pid that `subprocess` knows, and no code of ours runs in a forked child of a threaded
process. The kernel sends the signal when the *thread* that started the process ends: start them from one that
stays.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
END_SECONDS = 60.0


def start(
    arguments: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program whose output is appended to a file.

    Args:
        arguments: The program and its arguments.
        log: Where standard output and standard error go.
        environment: The whole environment; ours when None.
        directory: Where the program runs.

    Raises:
        OSError: Python itself could not be started. A program that is not there shows in the log, and the
            process ends with status 127.
    """
    launcher = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*launcher, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=directory,
        )


def end(process: subprocess.Popen[bytes], *, seconds: float = END_SECONDS) -> int:
    """Ends a process: SIGTERM, and SIGKILL when it stays.

    Args:
        process: What `start` gave.
        seconds: How long it may take to end by itself.

    Returns:
        Its exit status, as `subprocess` tells it.
    """
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def ended(pid: int) -> bool:
    """Whether a process is gone, or a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, for an error's message; empty when there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _launch(parent: int, arguments: list[str]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        print(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return 126
    if os.getppid() != parent:  # it died before prctl: no signal will come
        return 126
    try:
        os.execvp(arguments[0], arguments)
    except OSError as error:
        print(f"{arguments[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(_launch(int(sys.argv[1]), sys.argv[2:]))
