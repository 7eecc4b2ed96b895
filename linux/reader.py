"""What we need of a host; ``preflight.host.Host`` is one."""

import os
from collections.abc import Iterable, Sequence
from typing import Protocol

from linux.errors import EXHAUSTED


class Reader(Protocol):
    """A host's files and our own process; what reads raises OSError with the kernel's answer."""

    root: str

    def read_text(self, path: str, *, limit: int = ...) -> str:
        """Reads a file, at most ``limit`` bytes of it."""

    def read_bytes(self, path: str) -> bytes:
        """Reads a file as it is."""

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """Reads from a place in a file."""

    def exists(self, path: str) -> bool:
        """Whether something stands there."""

    def listdir(self, path: str) -> list[str]:
        """Lists a directory."""

    def readlink(self, path: str) -> str:
        """Reads a symbolic link."""

    def stat(self, path: str) -> os.stat_result:
        """Returns a file's status."""

    def statvfs(self, path: str) -> os.statvfs_result:
        """Returns the status of the file system that a file is on."""

    def extended_attribute(self, path: str, name: str) -> bytes:
        """Returns an extended attribute of a file."""

    def may_access(self, path: str) -> bool | None:
        """Whether access(2) lets us read and write a file; None where it tells nothing."""

    def kernel_log(self) -> Iterable[str]:
        """Yields the kernel's messages."""

    def processes(self) -> list[tuple[int, str]]:
        """Returns process id and name of each process."""

    def own_process(self, name: str) -> str:
        """Reads ``/proc/self/NAME`` of our own process."""

    def is_own_machine(self) -> bool:
        """Whether these are the files of the machine that we run on, and not a captured tree."""

    def run_program(self, arguments: Sequence[str], *, timeout: float) -> tuple[int, bytes]:
        """Runs a program; returns its exit status and output; raises OSError, also for a time-out."""

    @property
    def effective_user(self) -> int:
        """The effective user id of our own process."""

    @property
    def effective_groups(self) -> frozenset[int]:
        """The groups of our own process."""


def text(reader: Reader, path: str) -> str:
    """Reads a file, empty where it cannot be read."""
    try:
        return reader.read_text(path)
    except OSError:
        return ""


def names(reader: Reader, directory: str) -> list[str]:
    """Lists a directory, empty where it cannot be read."""
    try:
        return reader.listdir(directory)
    except OSError:
        return []


def link(reader: Reader, path: str) -> str:
    """Reads a symbolic link, empty where there is none or it cannot be read."""
    try:
        return reader.readlink(path)
    except OSError:
        return ""


def own(reader: Reader, name: str) -> str:
    """Reads ``/proc/self/NAME`` of our own process, empty where it cannot be read."""
    try:
        return reader.own_process(name)
    except OSError:
        return ""


def lacking(reader: Reader) -> int:
    """Returns the error for which nothing can be read or imported, and so nothing be told; 0 for none."""
    try:
        reader.own_process("status")
    except OSError as error:
        return error.errno if error.errno in EXHAUSTED else 0
    return 0
