"""How the agent comes to a connection with its probe: a socket in the pod's volume, or a child of its own."""

import socket
import subprocess
from collections.abc import Callable, Sequence

SPAWN = "spawn"
"""The word in place of a socket's path that asks for a child."""

Dial = Callable[[], socket.socket]
"""Returns a connected socket, or raises OSError."""


def to_socket(path: str) -> Dial:
    """Returns a way to a probe that listens on ``path``."""

    def dial() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            raise
        return connection

    return dial


class Child:
    """A probe that runs as our child and is started again whenever it is dialled."""

    def __init__(self, command: Sequence[str]) -> None:
        """Takes the command that starts a probe; ``--socket fd:N`` is added."""
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> socket.socket:
        """Starts the child anew and returns a socket to it.

        Raises:
            OSError: It cannot be started.
        """
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*self._command, "--socket", f"fd:{theirs.fileno()}"],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                )
            except OSError:
                ours.close()
                raise
        return ours

    def close(self) -> None:
        """Ends the child, at the latest after a second."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
