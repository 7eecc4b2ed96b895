"""Reads a POSIX access control list and tells which of its entries decides (acl(5)).

The extended attribute ``system.posix_acl_access`` holds it (``include/uapi/linux/posix_acl_xattr.h``: a
version, then tag, permissions and number of each entry); entries decide in the order of the kernel's
``posix_acl_permission`` (fs/posix_acl.c).
"""

import struct
from typing import NamedTuple

ATTRIBUTE = "system.posix_acl_access"

VERSION = 2
"""``POSIX_ACL_XATTR_VERSION``."""

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
"""``ACL_USER_OBJ`` and so on (``include/uapi/linux/posix_acl.h``)."""

READ_AND_WRITE = 0o6

_NAMES = {USER_OBJ: "user", USER: "user", GROUP_OBJ: "group", GROUP: "group", MASK: "mask", OTHER: "other"}


class Entry(NamedTuple):
    """An entry of an access control list.

    Attributes:
        tag: Whom it is for.
        permissions: Read 4, write 2, execute 1.
        number: The user's or the group's, of a named entry.
    """

    tag: int
    permissions: int
    number: int

    def __str__(self) -> str:
        """Returns it as getfacl(1) does, with numbers: ``user:1000:rw-``."""
        whom = str(self.number) if self.tag in (USER, GROUP) else ""
        letters = "".join(
            letter if self.permissions & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1))
        )
        return f"{_NAMES[self.tag]}:{whom}:{letters}"


class Decision(NamedTuple):
    """What a list says of somebody who wants to read and write.

    Attributes:
        entry: The entry that decides, of several that do not suffice the first.
        allowed: It lets them.
        mask: The mask that takes away what the entry gives, None where it takes nothing that is wanted.
    """

    entry: Entry
    allowed: bool
    mask: Entry | None = None


def parse(attribute: bytes) -> tuple[Entry, ...]:
    """Returns the entries, none where the bytes are no list of a known version."""
    if len(attribute) % 8 != 4 or int.from_bytes(attribute[:4], "little") != VERSION:
        return ()
    entries = tuple(Entry(*fields) for fields in struct.iter_unpack("<HHI", attribute[4:]))
    return entries if all(entry.tag in _NAMES for entry in entries) else ()


def decide(
    entries: tuple[Entry, ...], owner: int, group: int, user: int, groups: frozenset[int]
) -> Decision | None:
    """Tells whether a user without privileges may read and write, None where no entry is for them.

    Args:
        entries: The list, in the kernel's order.
        owner: The file's owner.
        group: The file's group.
        user: The user.
        groups: All groups of the user.
    """
    mask = next((entry for entry in entries if entry.tag == MASK), None)
    refusing: Entry | None = None
    for entry in entries:
        gives = entry.permissions & READ_AND_WRITE == READ_AND_WRITE
        if entry.tag == USER_OBJ and user == owner:
            return Decision(entry, allowed=gives)
        if entry.tag == USER and user == entry.number:
            return _masked(entry, mask)
        if (entry.tag == GROUP_OBJ and group in groups) or (entry.tag == GROUP and entry.number in groups):
            if gives:
                return _masked(entry, mask)
            refusing = refusing or entry
        if entry.tag == OTHER:
            return Decision(refusing or entry, allowed=gives and refusing is None)
    return None


def _masked(entry: Entry, mask: Entry | None) -> Decision:
    left = entry.permissions & (mask.permissions if mask else 0o7)
    if left & READ_AND_WRITE == READ_AND_WRITE:
        return Decision(entry, allowed=True)
    taken = entry.permissions & READ_AND_WRITE == READ_AND_WRITE
    return Decision(entry, allowed=False, mask=mask if taken else None)
