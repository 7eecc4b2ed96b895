"""Starts a QEMU, through a host's door to programs, and tells what came of it."""

import errno
import signal
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from linux import qemu
from linux.errors import EXHAUSTED, words

_NOT_ITS_DOING = (errno.ETIMEDOUT, errno.EACCES, errno.EPERM, *EXHAUSTED)
"""Errors of starting a QEMU that prove nothing of it: the node is busy, or this process may not."""


class Starter(Protocol):
    """A host's programs; ``preflight.host.Host`` is one."""

    def exists(self, path: str) -> bool:
        """Whether something stands there; False also where we may not look."""

    def converse(self, arguments: Sequence[str], said: bytes, *, timeout: float) -> tuple[int, bytes, bytes]:
        """Runs a program; returns its status, what it answered and what it printed; raises OSError."""


class Trial(NamedTuple):
    """What came of starting a QEMU.

    Attributes:
        version: Its version where it started and answered, else empty.
        told: What came back, in words.
        proven: It is QEMU's own doing; False where it was kept from starting, or from answering in time.
        feature: The feature of the CPU model whose register KVM refused, else empty.
    """

    version: str
    told: str
    proven: bool = True
    feature: str = ""


def start(host: Starter, program: str, arguments: Sequence[str]) -> Trial:
    """Starts a QEMU, asks it, and has it end.

    Raises:
        FileNotFoundError: There is no such program, or it is in a directory that is not for us, as one of
            PATH may be after a change of user; execvp(3) goes on too.
    """
    try:
        status, answers, printed = host.converse((program, *arguments), qemu.QUESTIONS, timeout=qemu.TIMEOUT)
    except FileNotFoundError:
        raise
    except OSError as error:
        number = error.errno or 0
        if number == errno.EACCES and not host.exists(program):
            raise FileNotFoundError(errno.ENOENT, words(number), program) from error
        return Trial("", f"starting {program}: {words(number)}", proven=number not in _NOT_ITS_DOING)
    version = qemu.version(answers) if status == 0 else ""
    if version:
        return Trial(version, f"QEMU {version} starts")
    if status == -signal.SIGKILL:
        return Trial("", f"{program} was killed, as the kernel does where memory is short", proven=False)
    end = f"status {status}" if status >= 0 else f"signal {-status}"
    said = qemu.complaint(printed).removeprefix(f"{program.rpartition('/')[2]}: ")
    told = f"{program} ended with {end}: {said}"
    return Trial("", told, feature=qemu.refused_feature(printed))
