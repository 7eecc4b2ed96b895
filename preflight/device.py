"""An open device: what a check can do with it, and no more."""

import fcntl
import mmap
import os
from types import TracebackType
from typing import Self


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

    def status(self) -> os.stat_result:
        """Returns the status of what was opened.

        Raises:
            OSError: The kernel's answer.
        """
        return os.fstat(self._descriptor)

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
