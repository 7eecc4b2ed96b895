"""Why the kernel does not start a file: what an error of execve(2) means, given what the file holds. Pure."""

import errno
import os

from preflight.result import one_line

HEAD = 256
"""Bytes of a file that the kernel looks at (linux/binfmts.h: BINPRM_BUF_SIZE)."""

_ELF = b"\x7fELF"


def meaning(number: int, head: bytes) -> str:
    """Tells what an error means.

    Args:
        number: The error.
        head: What the file begins with, empty where it cannot be read.
    """
    if number == errno.ENOEXEC:
        if head.startswith(_ELF):
            return "it is a program for another kind of machine"
        return "it is neither a program nor a script, which begins with #! and an interpreter"
    if number == errno.EACCES:
        return "it is not executable for this user, or on a file system that is mounted noexec"
    if number == errno.ENOENT and head.startswith(b"#!"):
        first = head[2:].partition(b"\n")[0]
        if first.endswith(b"\r"):
            return "its first line ends with a carriage return, as on DOS, which counts as part of the name"
        name = (first.split() or [b""])[0]
        return f"its interpreter {one_line(name.decode('utf-8', 'replace'))} is not there"
    if number == errno.ENOENT and head.startswith(_ELF):
        return "the loader that it was linked for is not there: it was built for another C library"
    return os.strerror(number)
