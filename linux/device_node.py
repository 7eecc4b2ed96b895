"""Tells what stands at a device's path, and who may open it (inode(7), path_resolution(7)); pure."""

import errno
import stat
from enum import Enum, auto

_KINDS = (
    (stat.S_ISREG, "a plain file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISCHR, "a character device"),
)


def kind(mode: int) -> str:
    """Returns what a file is, for a person."""
    return next((words for matches, words in _KINDS if matches(mode)), "something else")


def may_read_and_write(mode: int, owner: int, group: int, user: int, groups: frozenset[int]) -> bool:
    """Whether the mode alone lets an unprivileged user open the file for reading and writing."""
    if user == owner:
        return mode & 0o600 == 0o600
    if group in groups:
        return mode & 0o060 == 0o060
    return mode & 0o006 == 0o006


def name(identifier: int, database: str) -> str:
    """Returns the name that ``/etc/passwd`` or ``/etc/group`` has for a number, else the number."""
    for line in database.splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(identifier):
            return fields[0]
    return str(identifier)


class Answer(Enum):
    """What an error of opening a device means."""

    ABSENT = auto()
    NO_DRIVER = auto()
    NOT_A_DEVICE = auto()
    DENIED = auto()
    OTHER = auto()


_ANSWERS = {
    errno.ENOENT: Answer.ABSENT,
    errno.ENOTDIR: Answer.ABSENT,
    errno.ELOOP: Answer.ABSENT,
    errno.ENODEV: Answer.NO_DRIVER,
    errno.ENXIO: Answer.NO_DRIVER,
    errno.ENOTTY: Answer.NOT_A_DEVICE,
    errno.EACCES: Answer.DENIED,
    errno.EPERM: Answer.DENIED,
}


def answer(error: OSError) -> Answer:
    """Classifies the kernel's answer to opening a device."""
    return _ANSWERS.get(error.errno or 0, Answer.OTHER)
