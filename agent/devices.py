"""Tells when ``/dev/kvm`` comes, goes or changes, without opening it.

Two sources, each a descriptor to wait on. The kernel's uevents (kernel: Documentation/core-api/kobject.rst,
netlink(7) ``NETLINK_KOBJECT_UEVENT``) say that the driver registered or left, also where the node is there
all the time. inotify(7) on the directory says that the node was made, removed, or given another mode or
owner, also by hand. Uevents concern this machine's own ``/`` only.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator

from preflight.paths import resolve

NETLINK_KOBJECT_UEVENT = 15
"""``include/uapi/linux/netlink.h``"""
KERNEL_GROUP = 1
"""Multicast group of the kernel's own uevents (``lib/kobject_uevent.c``); udev's are in group 2."""

IN_ATTRIB = 0x4
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000
# include/uapi/linux/inotify.h
_EVENT = struct.Struct("iIII")

_OF_NODES = IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR

NAME = "kvm"

_ARRIVALS = (b"add", b"remove")
# KVM sends "change" for each VM that is made or ended (kernel: kvm_uevent_notify_change): our own guest, too.


class Uevents:
    """The kernel's uevents about KVM's misc device."""

    def __init__(self) -> None:
        """Starts to listen.

        Raises:
            OSError: Netlink is not to be had here.
        """
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT
        )
        try:
            self._socket.bind((0, KERNEL_GROUP))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Returns the descriptor to wait on."""
        return self._socket.fileno()

    def changes(self) -> Iterator[str]:
        """Yields what has happened since the last call, as words for a person."""
        while True:
            try:
                datagram, (sender, _) = self._socket.recvfrom(1 << 13)
            except BlockingIOError:
                return
            except OSError as error:  # ENOBUFS: events were lost (netlink(7)), so something may have changed
                yield f"kernel events were lost: {error.strerror}"
                return
            if sender == 0 and (action := uevent_of_kvm(datagram)):
                yield f"kernel: {action} {NAME}"

    def close(self) -> None:
        """Stops listening."""
        self._socket.close()


class Directory:
    """What happens to the node ``kvm`` in a directory, by inotify; the directory itself may come and go."""

    def __init__(self, path: str) -> None:
        """Starts to watch.

        Raises:
            OSError: Neither the directory nor the one above it is there, or inotify's limits are reached.
        """
        # The standard library has no inotify. Loading ctypes costs 0.3 MiB, polling would wake for ever.
        import ctypes

        self._ctypes = ctypes
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._path = path
        self._descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "inotify")
        above = self._watch(os.path.dirname(path), IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)
        error = self._watch(path, _OF_NODES)
        if error and (above or error != errno.ENOENT):
            self.close()
            raise OSError(error, os.strerror(error), path)
        self._seen = self._look()

    def fileno(self) -> int:
        """Returns the descriptor to wait on."""
        return self._descriptor

    def changes(self) -> Iterator[str]:
        """Yields what has happened since the last call, as words for a person.

        A node that is made and removed in between, or given the mode that it has, has not changed.
        """
        looked_for = False
        while True:
            try:
                data = os.read(self._descriptor, 1 << 14)
            except BlockingIOError:
                break
            for mask, name in inotify_events(data):
                if name == os.path.basename(self._path):
                    # Another directory than the watched one; a look will tell what is in it already.
                    self._watch(self._path, _OF_NODES)
                    looked_for = True
                looked_for = looked_for or name == NAME or bool(mask & (IN_Q_OVERFLOW | IN_IGNORED))
        if looked_for and (now := self._look()) != self._seen:
            before, self._seen = self._seen, now
            word = "appeared" if before is None else "disappeared" if now is None else "changed"
            yield f"{os.path.join(self._path, NAME)} {word}"

    def close(self) -> None:
        """Stops watching; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _watch(self, path: str, mask: int) -> int:
        """Adds a directory to what is watched; returns the error's number, 0 for none."""
        done: int = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
        return self._ctypes.get_errno() if done < 0 else 0

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = os.lstat(os.path.join(self._path, NAME))
        except OSError:
            return None
        return (found.st_ino, found.st_mode, found.st_rdev, found.st_uid, found.st_gid)


Source = Uevents | Directory


def uevent_of_kvm(datagram: bytes) -> str | None:
    """Returns ``add`` or ``remove`` of a kernel uevent about KVM's misc device, None for any other uevent.

    The datagram is ``ACTION@DEVPATH`` and ``KEY=VALUE`` strings, each ended by NUL. Pure.
    """
    fields = dict(part.partition(b"=")[::2] for part in datagram.split(b"\0"))
    if fields.get(b"SUBSYSTEM") != b"misc" or fields.get(b"DEVNAME") != NAME.encode():
        return None
    action = fields.get(b"ACTION", b"")
    return action.decode() if action in _ARRIVALS else None


def inotify_events(data: bytes) -> Iterator[tuple[int, str]]:
    """Yields mask and name of each event that one read(2) returned. Pure."""
    position = 0
    while position + _EVENT.size <= len(data):
        _, mask, _, length = _EVENT.unpack_from(data, position)
        position += _EVENT.size
        yield mask, os.fsdecode(data[position : position + length].rstrip(b"\0"))
        position += length


def sources(root: str) -> tuple[list[Source], list[OSError]]:
    """Starts to watch the machine below ``root``.

    Returns:
        What can be watched, and the errors of what cannot.
    """
    watched: list[Source] = []
    errors: list[OSError] = []
    if root == "/":
        try:
            watched.append(Uevents())
        except OSError as error:
            errors.append(error)
    try:
        watched.append(Directory(resolve(os.path.abspath(root), "/dev")))
    except OSError as error:
        errors.append(error)
    return watched, errors
