"""Resolves a path inside a root directory, as ``openat2(2)`` does with ``RESOLVE_IN_ROOT``.

A mounted host root holds absolute symbolic links that are meant for the host: followed by the kernel they
would lead out of the root, into our own container.
"""

import errno
import os

MAX_LINKS = 40
"""Symbolic links followed before ELOOP (path_resolution(7))."""


def resolve(root: str, path: str, *, follow_last: bool = True) -> str:
    """Returns the real path of ``path`` below ``root``.

    Args:
        root: Directory that stands for ``/``.
        path: Absolute path as the host sees it.
        follow_last: Whether a symbolic link in the last component is followed.

    Raises:
        OSError: ELOOP for a loop of links. Components that do not exist, may not be looked at, or are no
            directories, are no error here: opening the result tells.
    """
    done: list[str] = []
    rest = path.split("/")[::-1]
    links = 0
    while rest:
        part = rest.pop()
        if part in ("", ".", ".."):
            if done and not os.path.isdir(os.path.join(root, *done)):
                done.append(".")  # the kernel goes no further, whatever follows: neither back nor on
                break
            if part == "..":
                del done[-1:]
            continue
        here = os.path.join(root, *done, part)
        if (rest or follow_last) and os.path.islink(here):
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(here)
            if target.startswith("/"):
                done.clear()
            rest.extend(target.split("/")[::-1])
            continue
        done.append(part)
    return os.path.join(root, *done)
