"""What a device's file is and whom its mode lets in (inode(7)): pure."""

import stat

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
    for line in database.split("\n"):
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(identifier):
            return fields[0]
    return str(identifier)
