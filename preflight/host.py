"""The one door to the machine: every file, device and kernel message that a check sees comes through it.

Paths are the host's own (``/dev/kvm``); `Host` finds them below its root directory. Tests put a host in
memory or a captured tree in its place.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from preflight.device import Device
from preflight.paths import resolve
from preflight.result import one_line

MAX_READ = 16 * 1024 * 1024
"""Bytes read of one file; the largest real one, /proc/cpuinfo of 4,096 CPUs, has about 6 MB."""

MAX_LOG = 32 * 1024 * 1024
"""Bytes read of the kernel log; its ring buffer (kernel-parameters: log_buf_len) is seldom half as large."""

_CHUNK = 1 << 16
"""Bytes a read; a record of /dev/kmsg must fit (kernel: CONSOLE_EXT_LOG_MAX, 8 KiB)."""

_OPEN_TO_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_RECORD = re.compile(r"(\d{1,9}),\d+,\d+,[^;]*;", re.ASCII)


class Host:
    """A machine, seen from the directory where its root file system is."""

    def __init__(self, root: str = "/") -> None:
        """Looks at the machine below ``root``, which is ``/`` on the machine itself."""
        self.root = root

    def _path(self, path: str, *, follow_last: bool = True) -> str:
        if self.root == "/":
            return path
        return resolve(self.root, path, follow_last=follow_last)

    def read_bytes(self, path: str, *, limit: int = MAX_READ) -> bytes:
        """Reads at most ``limit`` bytes of a file, without waiting on a FIFO, a terminal or a device.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        with _named(path), _opened(self._path(path)) as descriptor:
            data = bytearray()
            while len(data) < limit:
                chunk = os.read(descriptor, min(limit - len(data), _CHUNK))
                if not chunk:
                    break
                data += chunk
            return bytes(data)

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """Reads from a place in a file, such as a register in ``/dev/cpu/0/msr``; less at its end.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        with _named(path), _opened(self._path(path)) as descriptor:
            return os.pread(descriptor, length, offset)

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
        with _named(path):
            return os.stat(self._path(path, follow_last=follow), follow_symlinks=follow)

    def exists(self, path: str) -> bool:
        """Whether something stands at ``path``, seen through links; False also where we may not look."""
        try:
            self.stat(path)
        except OSError:
            return False
        return True

    def readlink(self, path: str) -> str:
        """Returns what a symbolic link says, as it stands there.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        with _named(path):
            return os.readlink(self._path(path, follow_last=False))

    def extended_attribute(self, path: str, name: str) -> bytes:
        """Returns an extended attribute; ``system.posix_acl_access`` is an ACL (acl(5)).

        Raises:
            OSError: The kernel's answer, with the host's path as its file name; ENODATA where there is none.
        """
        with _named(path):
            return os.getxattr(self._path(path), name)

    def may_access(self, path: str) -> bool | None:
        """Whether access(2) lets us read and write what stands at ``path``; it is not opened.

        None where access(2) does not even tell that the directory exists: something is in the way of the
        question itself. (Of a device that a device cgroup refuses, it may not tell that it exists.)
        """
        try:
            there = self._path(path)
        except OSError:
            return None
        if os.access(there, os.R_OK | os.W_OK):
            return True
        return False if os.access(os.path.dirname(there), os.F_OK) else None

    def statvfs(self, path: str) -> os.statvfs_result:
        """Returns the status of the file system that ``path`` is on.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        with _named(path):
            return os.statvfs(self._path(path))

    def listdir(self, path: str) -> list[str]:
        """Returns the sorted names in a directory.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        with _named(path):
            return sorted(os.listdir(self._path(path)))

    def open_device(self, path: str) -> Device:
        """Opens a character device for reading and writing.

        What stands at ``path`` is looked at before it is opened: opening a block device for writing, or a
        FIFO, can have effects on the host. The open does not wait, as that of a serial line would.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name; ENOTTY where ``path`` is no
                character device, or was replaced by another while it was opened.
        """
        expected = self.stat(path)
        if not stat.S_ISCHR(expected.st_mode):
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY), path)
        with _named(path):
            device = Device(os.open(self._path(path), os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY))
            opened = device.status()
            if (stat.S_IFMT(opened.st_mode), opened.st_rdev) != (stat.S_IFCHR, expected.st_rdev):
                device.close()
                raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY), path)
            return device

    def kernel_log(self) -> Iterator[str]:
        """Yields the kernel's messages, oldest first, without their prefixes.

        Reads ``/dev/kmsg`` (kernel: Documentation/ABI/testing/dev-kmsg): a record is
        ``priority,sequence,time,flags;text``, continued on lines that start with a space. What user space
        wrote there (a syslog facility other than 0) is left out. A file of plain lines is taken as it is.

        Raises:
            OSError: The log cannot be read (EPERM without CAP_SYSLOG), with ``/dev/kmsg`` as its file name;
                ENODEV where a captured tree has a device there, which would give the log of our own kernel.
        """
        path = "/dev/kmsg"
        with _named(path), _opened(self._path(path)) as descriptor:
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not self.is_own_machine():
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), path)
            left, rest = MAX_LOG, b""
            while left > 0:
                try:
                    chunk = os.read(descriptor, _CHUNK)
                except BrokenPipeError:  # the next record was overwritten before it was read
                    continue
                except BlockingIOError:  # no record is left
                    break
                if not chunk:
                    break
                left -= len(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                rest = rest[
                    :_CHUNK
                ]  # what has no end of line is no log, and must not be joined again and again
                yield from _messages(lines)
            yield from _messages([rest])

    def kernel_release(self) -> str:
        """Returns the kernel's release (``uname -r``), empty where a captured tree does not tell it.

        ``/proc/version`` begins with ``Linux version RELEASE`` (proc_version(5)).
        """
        told = self._line("/proc/sys/kernel/osrelease")
        if told:
            return told
        words = self._line("/proc/version").split()
        if words[:2] == ["Linux", "version"] and len(words) > 2:
            return words[2]
        return os.uname().release if self.is_own_machine() else ""

    def machine(self) -> str:
        """Returns the architecture (``uname -m``), empty where a captured tree does not tell it.

        ``/proc/sys/kernel/arch`` is there since Linux 6.1 (kernel: admin-guide/sysctl/kernel.rst).
        """
        return self._line("/proc/sys/kernel/arch") or (os.uname().machine if self.is_own_machine() else "")

    def boot_id(self) -> str:
        """Returns the id of the host's boot (random(4)), empty where it cannot be read."""
        return self._line("/proc/sys/kernel/random/boot_id")

    def _line(self, path: str) -> str:
        try:
            return one_line(self.read_text(path, limit=256), 128)
        except OSError:
            return ""

    @property
    def effective_user(self) -> int:
        """The effective user id of our own process."""
        return os.geteuid()

    @property
    def effective_groups(self) -> frozenset[int]:
        """The effective and the supplementary group ids of our own process."""
        return frozenset((os.getegid(), *os.getgroups()))

    @property
    def own_architecture(self) -> str:
        """``uname -m`` of the kernel that we run on: that of every device that opens, whatever the root."""
        return os.uname().machine

    def is_own_machine(self) -> bool:
        """Whether the root belongs to the kernel that we run on, and is not a captured tree."""
        return self.root == "/" or (bool(self.boot_id()) and self.boot_id() == Host().boot_id())

    def local_path(self, path: str) -> str:
        """Returns where we see the host's ``path``, for a library that opens files by itself.

        Raises:
            OSError: The kernel's answer, with the host's path as its file name.
        """
        with _named(path):
            return self._path(path)

    @property
    def program_directories(self) -> tuple[str, ...]:
        """Where programs of our own root are looked for: the absolute ones of ``PATH`` (environ(7))."""
        directories = os.environ.get("PATH", os.defpath).split(":")
        return tuple(directory for directory in directories if directory.startswith("/"))

    def run_program(self, arguments: Sequence[str], *, timeout: float) -> tuple[int, bytes]:
        """Runs a program of our own root, never of another one, without input, and waits for it.

        Args:
            arguments: The program's path and its arguments; no shell.
            timeout: Seconds; it is killed when they have passed. It stays in our process group, so that it
                ends with the check's process too.

        Returns:
            The exit status (negative: the signal that ended it) and what it wrote, both streams together;
            of what is too much, the beginning.

        Raises:
            OSError: The program cannot be started; TimeoutError where it did not end in time.
        """
        status, _, output = self.converse(arguments, b"", timeout=timeout)
        return status, output

    def converse(self, arguments: Sequence[str], said: bytes, *, timeout: float) -> tuple[int, bytes, bytes]:
        """Runs a program whose standard input is a socket, as `run_program` does.

        Args:
            arguments: The program's path and its arguments.
            said: What it is told.
            timeout: Seconds.

        Returns:
            The exit status, what it answered on the socket, and what it wrote to its other streams.

        Raises:
            OSError: As `run_program`.
        """
        if "/" in arguments[0]:
            os.stat(arguments[0])  # what is imported next takes longer than a whole run
        from preflight import conversation

        return conversation.run(arguments, said, timeout=timeout)

    def processes(self) -> list[tuple[int, str]]:
        """Returns process id and name of the processes that the host's ``/proc`` shows.

        Names are those of proc(5), *comm*, or longer where the command line tells more. One that ends
        meanwhile is left out.

        Raises:
            OSError: The kernel's answer.
        """
        # Imported here: it takes as long as a whole run, and only a node that is in trouble is asked.
        import psutil

        before = psutil.PROCFS_PATH
        psutil.PROCFS_PATH = self.local_path("/proc")
        psutil.process_iter.cache_clear()  # it may hold another /proc's
        try:
            return [(process.pid, process.info["name"]) for process in psutil.process_iter(["name"])]
        finally:
            psutil.PROCFS_PATH = before

    def own_process(self, name: str) -> str:
        """Reads ``/proc/self/NAME`` of our own process, whatever the root.

        Raises:
            OSError: The kernel's answer.
        """
        with open(f"/proc/self/{name}", encoding="utf-8", errors="replace") as file:
            return file.read(MAX_READ)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Makes errors name the host's own path, not where it is mounted."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    except ValueError:  # a path with a NUL in it
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path) from None


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, _OPEN_TO_READ)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _messages(lines: list[bytes]) -> Iterator[str]:
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r")
        if not line or line.startswith(" "):
            continue
        record = _RECORD.match(line)
        if record is None:
            yield line
        elif int(record[1]) >> 3 == 0:
            yield line[record.end() :]
