"""Spells errors of system calls (errno(3))."""

import errno
import os

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""Descriptors or memory are lacking, our own or the host's."""

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Nothing stands at a path."""


def code(number: int) -> str:
    """Returns an error's name, such as ``EPERM``."""
    return errno.errorcode.get(number, str(number))


def words(number: int) -> str:
    """Returns an error as a person reads it: ``Operation not permitted (EPERM)``."""
    return f"{os.strerror(number)} ({code(number)})"
