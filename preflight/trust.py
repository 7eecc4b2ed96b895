"""Who else could have written a file that is to be run as root: as cron(8), sudo(8) and sshd(8) ask.

Nobody may but root and the user that we run as: not to the file, nor to a link that leads to it, nor to the
directory that it is in.
"""

import os
import shlex
import stat
from typing import NamedTuple


class Fault(NamedTuple):
    """Why something is not to be trusted.

    Attributes:
        problem: One line.
        hint: The command that mends it.
    """

    problem: str
    hint: str


def fault_of_file(path: str) -> Fault | None:
    """Tells what is wrong with a file, with a link to it, or with the directory where it really is.

    Raises:
        OSError: The kernel's answer.
    """
    return (
        _fault_of_owner(path, os.lstat(path))
        or _fault_of_owner(path, os.stat(path))
        or _fault_of_mode(path, os.stat(path))
        or fault_of_directory(os.path.dirname(os.path.realpath(path)))
    )


def fault_of_directory(path: str) -> Fault | None:
    """Tells what is wrong with a directory.

    One that is mounted read-only may have any mode, as a ConfigMap's has: nobody can write there.

    Raises:
        OSError: The kernel's answer.
    """
    fault = _fault_of_owner(path, os.stat(path)) or _fault_of_mode(path, os.stat(path))
    return None if fault and os.statvfs(path).f_flag & os.ST_RDONLY else fault


def _fault_of_owner(path: str, status: os.stat_result) -> Fault | None:
    if status.st_uid in (0, os.geteuid()):
        return None
    return Fault(
        f"{path} belongs to user {status.st_uid}, not to root or to the user that would run it",
        f"chown -h root {shlex.quote(path)}"
        if stat.S_ISLNK(status.st_mode)
        else f"chown root {shlex.quote(path)}",
    )


def _fault_of_mode(path: str, status: os.stat_result) -> Fault | None:
    """Looks at the permission bits; those of the group are also an ACL's mask (acl(5)).

    A user's own group is often the user alone, and its umask 002; root's is not.
    """
    own_group = os.geteuid() != 0 and status.st_gid == os.getegid()
    if not status.st_mode & (stat.S_IWOTH if own_group else stat.S_IWOTH | stat.S_IWGRP):
        return None
    return Fault(f"{path} can be written by others than its owner", f"chmod go-w {shlex.quote(path)}")
