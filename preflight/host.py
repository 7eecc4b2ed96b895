"""The one door to the machine: every file, device and kernel message that a check sees comes through it.

Paths are the host's own (``/dev/kvm``); `Host` finds them below its root directory. Tests put a host in
memory or a captured tree in its place.
"""

import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import closing
from types import TracebackType
from typing import Self

MAX_READ = 16 * 1024 * 1024
"""Bytes read of one file; the largest real one, /proc/cpuinfo of 4,096 CPUs, has about 6 MB."""

MAX_LOG = 32 * 1024 * 1024
"""Bytes read of the kernel log; its ring buffer (kernel-parameters: log_buf_len) is seldom half as large."""


class Device:
    """An open device, or a file descriptor that an ioctl returned (a VM, a vCPU)."""

    def __init__(self, descriptor: int) -> None:
        """Takes ownership of an open file descriptor."""
        self._descriptor = descriptor

    def ioctl(self, request: int, argument: int | bytearray = 0) -> int:
        """Calls ``ioctl(2)``.

        Args:
            request: The request's number.
            argument: A number, or a structure that the kernel reads and may write in place.

        Raises:
            OSError: The kernel's answer.
        """
        return fcntl.ioctl(self._descriptor, request, argument)

    def open(self, request: int, argument: int = 0) -> "Device":
        """Calls an ioctl that returns a file descriptor, such as ``KVM_CREATE_VM``.

        Raises:
            OSError: The kernel's answer.
        """
        return Device(fcntl.ioctl(self._descriptor, request, argument))

    def map(self, length: int) -> mmap.mmap:
        """Maps the first ``length`` bytes, shared and writable.

        Raises:
            OSError: The kernel's answer.
        """
        return mmap.mmap(self._descriptor, length)

    def close(self) -> None:
        """Closes the descriptor; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the descriptor."""
        self.close()


class Host:
    """A machine, seen from the directory where its root file system is."""

    def __init__(self, root: str = "/") -> None:
        """Looks at the machine below ``root``, which is ``/`` on the machine itself."""
        self.root = root

    def _path(self, path: str, *, follow_last: bool = True) -> str:
        from preflight.paths import resolve

        if self.root == "/":
            return path
        return resolve(self.root, path, follow_last=follow_last)

    @staticmethod
    def _named(error: OSError, path: str) -> OSError:
        return type(error)(error.errno, os.strerror(error.errno or 0), path)

    def read_bytes(self, path: str, *, limit: int = MAX_READ) -> bytes:
        """Reads at most ``limit`` bytes of a file, without waiting on a FIFO or socket.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        try:
            descriptor = os.open(self._path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            with open(descriptor, "rb", buffering=0) as file:
                data = bytearray()
                while len(data) < limit and (chunk := file.read(min(limit - len(data), 1 << 20))):
                    data += chunk
                return bytes(data)
        except OSError as error:
            raise self._named(error, path) from None

    def read_text(self, path: str, *, limit: int = MAX_READ) -> str:
        """Reads a file as UTF-8, with other bytes replaced; see `read_bytes`.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        return self.read_bytes(path, limit=limit).decode("utf-8", "replace")

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """Returns the status of a file, or of the link itself.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        try:
            return os.stat(self._path(path, follow_last=follow), follow_symlinks=follow)
        except OSError as error:
            raise self._named(error, path) from None

    def exists(self, path: str) -> bool:
        """Whether something stands at ``path``, seen through links; False also where we may not look."""
        try:
            self.stat(path)
        except OSError:
            return False
        return True

    def statvfs(self, path: str) -> os.statvfs_result:
        """Returns the status of the file system that ``path`` is on.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        try:
            return os.statvfs(self._path(path))
        except OSError as error:
            raise self._named(error, path) from None

    def listdir(self, path: str) -> list[str]:
        """Returns the sorted names in a directory.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        try:
            return sorted(os.listdir(self._path(path)))
        except OSError as error:
            raise self._named(error, path) from None

    def open_device(self, path: str) -> Device:
        """Opens a character device for reading and writing.

        What stands at ``path`` is looked at before it is opened: opening a block device for writing, or a
        FIFO, can have effects on the host.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name; ENOTTY where ``path`` is no
                character device.
        """
        if not stat.S_ISCHR(self.stat(path).st_mode):
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY), path)
        try:
            return Device(os.open(self._path(path), os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY))
        except OSError as error:
            raise self._named(error, path) from None

    def kernel_log(self) -> Iterator[str]:
        """Yields the kernel's messages, oldest first, without their prefixes.

        Reads ``/dev/kmsg`` (kernel: Documentation/ABI/testing/dev-kmsg): a record is
        ``priority,sequence,time,flags;text``, continued on lines that start with a space.

        Raises:
            OSError: The log cannot be read (EPERM without CAP_SYSLOG), with ``/dev/kmsg`` as its file name.
        """
        path = "/dev/kmsg"
        left = MAX_LOG
        try:
            descriptor = os.open(self._path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            with closing(open(descriptor, "rb", buffering=0)) as log:
                while left > 0:
                    try:
                        record = log.read(1 << 16)
                    except BrokenPipeError:
                        continue
                    if not record:
                        return
                    left -= len(record)
                    for line in record.decode("utf-8", "replace").splitlines():
                        if line and not line.startswith(" "):
                            yield line.partition(";")[2] or line
        except OSError as error:
            raise self._named(error, path) from None

    @property
    def effective_user(self) -> int:
        """The effective user id of our own process."""
        return os.geteuid()

    def own_process(self, name: str) -> str:
        """Reads ``/proc/self/NAME`` of our own process, whatever the root.

        Raises:
            OSError: The kernel's answer.
        """
        with open(f"/proc/self/{name}", encoding="utf-8", errors="replace") as file:
            return file.read(MAX_READ)
