"""A forked child in a session of its own: made, waited for with a deadline, and killed with all that it left.

Linux: pidfd_open(2), setsid(2), kill(2). Where there is no pidfd (before Linux 5.3, or seccomp), the child is
looked for at short intervals while something is awaited.
"""

import contextlib
import errno
import fcntl
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

TICK = 0.02
"""Seconds between two looks at a child where the kernel has no pidfd."""

_FIRST_DESCRIPTOR = 10
"""Pipes lie from here on, clear of standard input, output and error even if those were closed."""

_HANDLED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
"""The signals that a daemon handles, or that who started it has had ignored: not for its children."""


class Child:
    """A child process that leads a session and process group.

    Its end is looked at without collecting it: until `collect`, its number, which is also the group's, cannot
    be given to another process that a signal to the group would then hit.
    """

    def __init__(self, pid: int) -> None:
        """Takes over a child that was just forked."""
        self.pid = pid
        self.exit_code: int | None = None
        """As ``os.waitstatus_to_exitcode`` has it: negative for a signal; None while it runs."""
        self._descriptor = _pidfd(pid)
        self._collected = False

    def fileno(self) -> int | None:
        """Returns a descriptor that becomes readable when the child ends; None where there is none."""
        return self._descriptor

    def ended(self) -> bool:
        """Whether the child has ended."""
        if self.exit_code is None:
            try:
                found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:  # SIGCHLD is ignored here, or somebody else has collected it
                self.exit_code = 0
            else:
                if found is not None:
                    self.exit_code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        return self.exit_code is not None

    def wait(self, seconds: float) -> bool:
        """Waits until the child ends, for at most ``seconds``; returns whether it did."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._descriptor is None:
                select.select([], [], [], min(left, TICK))
            else:
                wait_readable(self._descriptor, left)
        return True

    def collect(self) -> None:
        """Gives back what the kernel keeps of a child that has ended; safe to call twice."""
        if self._collected:  # its number may be another child's by now
            return
        self._collected = self.ended()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


def fork(main: Callable[[], NoReturn], born: Callable[[Child], None] = lambda _: None) -> Child:
    """Forks a child that runs ``main``, in a session of its own, with the signals of a new process.

    Signals are held back meanwhile, so that none of the parent's handlers runs in the child. Those that are
    ignored are not any more: with SIGCHLD ignored, nobody can tell how a program ended (wait(2)). Which they
    are is asked before the fork: every object that the child touches is a page to be copied.

    Args:
        main: The child's whole life.
        born: Takes note of the child while signals are still held back: a handler that raises may keep the
            caller from ever having it.

    Raises:
        OSError: No process can be made (EAGAIN, ENOMEM).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    child = None
    try:
        handled = [number for number in _HANDLED if signal.getsignal(number) is not signal.SIG_DFL]
        pid = os.fork()
        if pid == 0:
            _become_child(main, handled)
        child = Child(pid)
        born(child)
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException:  # a handler that was held back raises here, and nobody has the child yet
            if child is not None:
                kill_group(child.pid)
                child.collect()
            raise
    return child


def _become_child(main: Callable[[], NoReturn], handled: Sequence[signal.Signals]) -> NoReturn:
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        main()
    finally:
        os._exit(70)  # EX_SOFTWARE (sysexits.h): main never returns


def kill_group(pid: int) -> None:
    """Sends SIGKILL to a child that was not collected yet, and to its process group."""
    for send in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError):  # the group is not there before setsid
            send(pid, signal.SIGKILL)


def sweep(group: int) -> bool:
    """Collects the children of ours in a process group that have ended; returns whether none is left.

    What a check leaves behind becomes a child of ours where we are the first process of a container.
    """
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return True
    return False


def group_gone(group: int) -> bool:
    """Whether nothing runs any more in a process group whose leader was collected; collects what is ours.

    As long as something is left, the number is given to nobody else (credentials(7)). What has ended and is
    not collected, by a first process of a container that collects nothing, runs no more.
    """
    sweep(group)
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # what is left belongs to another user
        pass
    return not any(_runs_in(group, name) for name in _processes())


def _processes() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:  # no /proc: nobody can tell
        return []


def _runs_in(group: int, process: str) -> bool:
    """Whether a process belongs to a group and has not ended (proc_pid_stat(5): state, parent, group)."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            state, _, its_group = file.read().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):  # it is gone, or we may not look
        return False
    return int(its_group) == group and state not in (b"Z", b"X")


def wait_gone(group: int, seconds: float) -> bool:
    """Waits until nothing runs in a process group, for at most ``seconds``; returns whether that is so."""
    deadline = time.monotonic() + seconds
    while not group_gone(group):
        if time.monotonic() >= deadline:
            return False
        time.sleep(TICK)
    return True


def pipe() -> tuple[int, int]:
    """Returns the two ends of a pipe, not inherited by programs; reading does not block.

    Raises:
        OSError: No descriptor is left (EMFILE, ENFILE).
    """
    ends = os.pipe()
    moved: list[int] = []
    try:
        for end in ends:
            moved.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR))  # noqa: PERF401 -- closed if one fails
    except OSError as error:
        for end in moved:
            os.close(end)
        if error.errno != errno.EINVAL:
            raise
        # What fcntl(2) answers where the limit of descriptors lies below the first that it may take.
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from None
    finally:
        for end in ends:
            os.close(end)
    os.set_blocking(moved[0], False)
    return moved[0], moved[1]


def held_up(pid: int) -> tuple[str, str]:
    """Tells what holds a process up.

    Returns:
        In words, that it is stopped or cannot be interrupted (proc_pid_stat(5)), empty where neither is so;
        and the kernel's function in which it waits (proc_pid_wchan(5)), empty where it runs or nothing tells.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state = file.read(4096).rpartition(")")[2].split()[0]
        with open(f"/proc/{pid}/wchan", encoding="ascii", errors="replace") as file:
            function = file.read(256)
    except (OSError, IndexError):
        return "", ""
    function = function if function.isidentifier() else ""
    words = {"T": "it is stopped, as by SIGSTOP", "t": "a debugger has stopped it"}.get(state, "")
    if state == "D":
        words = "it waits in the kernel" + (f", in {function}" if function else "")
    return words, function


def wait_readable(descriptor: int, seconds: float) -> bool:
    """Waits until a descriptor is readable or at its end, for at most ``seconds``."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0, seconds) * 1000))


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:  # ENOSYS before Linux 5.3, EPERM under an old seccomp profile, EMFILE
        return None
