"""The socket that the probe listens on: who can connect to it, and what may stand in its place."""

import os
import socket
import stat

BACKLOG = 16

CHANNEL = "fd:"
"""Prefix of an inherited descriptor in a path's place: we are the child of the only client."""


class SocketError(Exception):
    """The socket cannot be listened on; the message is one line that names it."""


def inherited(name: str) -> socket.socket:
    """Returns the connected socket that ``fd:N`` names.

    Raises:
        SocketError: One line that names it.
    """
    try:
        channel = socket.socket(fileno=int(name.removeprefix(CHANNEL)))
    except (ValueError, OverflowError):
        raise SocketError(f"socket {name}: not of the form {CHANNEL}N") from None
    except OSError as error:
        raise SocketError(f"socket {name}: {error.strerror}") from error
    return channel


def listen(path: str) -> socket.socket:
    """Returns a listening unix socket that the directory's group can connect to.

    A socket that nobody listens on any more is replaced: a pod's emptyDir outlives its containers.

    Raises:
        SocketError: One line that names ``path`` and what is in the way.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
        _remove_stale(path)
        # The socket must not be open to others even for the moment between bind and chmod.
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        os.chown(path, -1, os.stat(os.path.dirname(path) or ".").st_gid)
        os.chmod(path, 0o660)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SocketError(f"socket {path}: {error.strerror or error}") from error
    except SocketError:
        listener.close()
        raise
    return listener


def discard(path: str, made: os.stat_result) -> None:
    """Removes a socket that nobody is to connect to any more, if it is still the one that was made."""
    try:
        if os.path.samestat(os.lstat(path), made):
            os.unlink(path)
    except OSError:  # it is gone, and so may be its directory
        return


def _remove_stale(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"socket {path}: something else than a socket stands there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.settimeout(1)
        try:
            other.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise SocketError(f"socket {path}: another probe listens on it")
