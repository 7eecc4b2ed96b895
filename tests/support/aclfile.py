"""Puts an access control list on a file, without a program (acl(5); linux/posix_acl_xattr.h)."""

import os
import struct
from pathlib import Path

from linux import acl

_TAGS = {"u:": acl.USER_OBJ, "g:": acl.GROUP_OBJ, "m:": acl.MASK, "o:": acl.OTHER}


def parse(text: str) -> tuple[acl.Entry, ...]:
    """Reads words as setfacl(1) takes them with numbers: ``u::rw u:1000:r g::- m::rw o::-``."""
    entries = []
    for word in text.split():
        kind, number, letters = word.split(":")
        tag = {"u": acl.USER, "g": acl.GROUP}[kind] if number else _TAGS[f"{kind}:"]
        permissions = sum({"r": 4, "w": 2, "x": 1, "-": 0}[letter] for letter in letters)
        entries.append(acl.Entry(tag, permissions, int(number or 0xFFFFFFFF)))
    return tuple(sorted(entries, key=lambda entry: (entry.tag, entry.number)))


def encode(entries: tuple[acl.Entry, ...]) -> bytes:
    """Returns the extended attribute."""
    return struct.pack("<I", acl.VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def put(path: Path, text: str) -> None:
    """Puts a list on a file.

    Raises:
        OSError: The file system has no lists (EOPNOTSUPP).
    """
    os.setxattr(path, acl.ATTRIBUTE, encode(parse(text)))
