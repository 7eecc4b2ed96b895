"""Writes a directory as the archive that Linux takes as its first file system.

The format is *newc* (kernel: Documentation/driver-api/early-userspace/buffer-format.rst); the kernel unpacks
archives that follow each other in one file. Everything belongs to root and has no time: equal trees make
equal archives, and no right of the user's is needed.
"""

import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

_TRAILER = "TRAILER!!!"


def write(root: str, archive: BinaryIO) -> None:
    """Appends everything below ``root`` to an archive.

    Raises:
        ValueError: A file is no directory, plain file or symbolic link.
    """
    for number, path in enumerate(_paths(root), 1):
        status = os.lstat(os.path.join(root, path))
        _entry(archive, path, status.st_mode, _contents(os.path.join(root, path), status.st_mode), number)
    _entry(archive, _TRAILER, 0, b"", 0)


def _paths(root: str) -> Iterator[str]:
    for directory, directories, files in os.walk(root):
        directories.sort()
        for name in sorted((*directories, *files)):
            yield os.path.relpath(os.path.join(directory, name), root)


def _contents(path: str, mode: int) -> bytes:
    if stat.S_ISDIR(mode):
        return b""
    if stat.S_ISLNK(mode):
        return os.fsencode(os.readlink(path))
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is no directory, plain file or symbolic link")
    with open(path, "rb") as file:
        return file.read()


def _entry(archive: BinaryIO, name: str, mode: int, contents: bytes, number: int) -> None:
    encoded = os.fsencode(name) + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(contents), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    archive.write(header + bytes(-len(header) % 4))
    archive.write(contents + bytes(-len(contents) % 4))
