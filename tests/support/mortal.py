"""A client that kills the controller's loop at one of its writes, as SIGKILL would."""

import threading
from collections.abc import Callable

from tapped import Call, Tapped

from cluster.transport import Client, Credentials, Object


class Writes:
    """Counts the writes of all clients that share it, and kills the thread of one."""

    def __init__(self, fatal: int, *, after: bool) -> None:
        self.fatal = fatal
        self.after = after
        self.count = 0
        self.killed = threading.Event()

    def kill(self) -> None:
        self.killed.set()
        raise SystemExit  # ends the thread at once, as SIGKILL ends the process


def mortal(credentials: Credentials, writes: Writes) -> Client:
    """A client whose n-th write kills its thread: before it is sent, or before its answer arrives."""

    def tap(call: Call, send: Callable[[], Object]) -> Object:
        fatal = False
        if call.method != "GET":
            fatal = writes.count == writes.fatal
            writes.count += 1
        if fatal and not writes.after:
            writes.kill()
        answer = send()
        if fatal:
            writes.kill()
        return answer

    return Tapped(credentials, tap)
