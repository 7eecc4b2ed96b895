"""Tries whether a device opens, and tells what stands in the way."""

import errno
import os
import stat
from enum import Enum, auto
from typing import NamedTuple, Protocol

from linux import device_node
from linux.diagnosis import own_dev
from linux.errors import ABSENT, code, words
from linux.reader import Reader, lacking, link


class Answer(Enum):
    """What opening a device comes to."""

    OPENS = auto()
    ABSENT = auto()
    NOT_IN_CONTAINER = auto()
    NO_DRIVER = auto()
    NOT_A_DEVICE = auto()
    OTHER_DEVICE = auto()
    DENIED = auto()
    FAILED = auto()


_ANSWERS = {
    **dict.fromkeys(ABSENT, Answer.ABSENT),
    errno.ENODEV: Answer.NO_DRIVER,
    errno.ENXIO: Answer.NO_DRIVER,
    errno.ENOTTY: Answer.NOT_A_DEVICE,
    errno.EACCES: Answer.DENIED,
    errno.EPERM: Answer.DENIED,
}


class Opened(Protocol):
    """An open device."""

    def close(self) -> None:
        """Closes it."""


class Opener(Reader, Protocol):
    """A host whose devices can be opened; ``preflight.host.Host`` is one."""

    def open_device(self, path: str) -> Opened:
        """Opens a character device; ENOTTY where the path is none."""


class Trial(NamedTuple):
    """What came of opening a device.

    Attributes:
        answer: What it comes to.
        told: The same in words: what was tried and what came back.
        seen: The device's number, or the error's name.
        hint: What to do, where that depends on this host; None where the answer alone says it.
    """

    answer: Answer
    told: str
    seen: str
    hint: str | None = None


RUN_AGAIN = "dmesg | tail; ulimit -n; then run again"
"""What to do where opening a device came to something else."""


def where_denied(path: str) -> str:
    """Says what to do where a device is refused, and nothing tells by what."""
    return f"sudo vm-preflight run; in a pod: privileged; in a container: docker run --device {path}"


def where_not_given(path: str) -> str:
    """Says what to do where a container has no such device, and nothing tells what started it."""
    return (
        "give this container the host's device: a privileged pod with hostPath /dev, or docker run "
        f"--device {path}"
    )


def try_to_open(host: Opener, path: str, number: tuple[int, int]) -> Trial:
    """Opens a device and closes it; one with another number is not opened, for it may be anything.

    Args:
        host: The host.
        path: Where the device should stand.
        number: Its major and minor number.
    """
    wanted = f"{number[0]}:{number[1]}"
    try:
        found = host.stat(path)
        seen = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        if not stat.S_ISCHR(found.st_mode):
            what = device_node.kind(found.st_mode)
            return Trial(
                Answer.NOT_A_DEVICE, f"{path} is {what}, not a character device; it was not opened", what
            )
        if seen != wanted:
            return Trial(Answer.OTHER_DEVICE, f"{path} is {seen}, not {wanted}; it was not opened", seen)
        host.open_device(path).close()
    except OSError as error:
        return _failed(host, path, error.errno or 0)
    return Trial(Answer.OPENS, f"{path} opens", seen)


def _failed(host: Opener, path: str, failure: int) -> Trial:
    answer = _ANSWERS.get(failure, Answer.FAILED)
    trial = Trial(answer, f"opening {path}: {words(failure)}", code(failure))
    if answer not in (Answer.ABSENT, Answer.DENIED):
        return trial
    lack = lacking(host)
    if lack:
        return Trial(Answer.FAILED, f"opening {path}: {words(lack)}", code(lack))
    # Imported where they are needed: a node whose devices open needs none of them.
    if answer is Answer.DENIED:
        from linux.diagnosis import refusal

        refused = failure == errno.EACCES
        why = refusal.access(host, path) if refused else refusal.kept_away(host, path, opening=True)
        return trial._replace(told=f"{trial.told}; {why.because}", hint=why.hint)
    elsewhere = own_dev.container(host, path)
    if elsewhere:
        from linux.diagnosis import confinement

        return trial._replace(
            answer=Answer.NOT_IN_CONTAINER,
            told=f"{trial.told}; {elsewhere}; whether the host has it could not be told",
            hint=confinement.device_hint(host, path),
        )
    target = link(host, path)
    return trial._replace(told=f"{trial.told}; it is a link to {target}") if target else trial
