"""A virtual machine of one vCPU: made, run, and released on every path.

The steps are those of Documentation/virt/kvm/api.rst: ``KVM_CREATE_VM``, memory, ``KVM_CREATE_VCPU``,
``KVM_RUN``. A call that fails raises `CallError`, which names it.
"""

import errno
import mmap
import struct
from array import array
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from linux.kvm import uapi
from linux.kvm.exits import GuestError, GuestTimeoutError, describe

ARM_DEFAULT_IPA_BITS = 40
"""Size of a guest's physical address space on aarch64 where ``KVM_CREATE_VM`` is given type 0."""

MAX_RESUMES = 1000
"""Times that one call is made again before it is given up: where a signal interrupts one other than
``KVM_RUN``, and where ``KVM_RUN`` answers EAGAIN.
"""

RESUMED_EXITS = (uapi.EXIT_INTR, uapi.EXIT_IRQ_WINDOW_OPEN)
"""Exits that ask nothing of us: the vCPU is entered again."""

T = TypeVar("T")


class Descriptor(Protocol):
    """An open ``/dev/kvm``, a VM or a vCPU; every method raises OSError with the kernel's answer."""

    def ioctl(self, request: int, argument: int | bytearray = 0, /) -> int:
        """Calls ``ioctl(2)``."""

    def open(self, request: int, argument: int = 0, /) -> "Descriptor":
        """Calls an ioctl that returns a file descriptor."""

    def map(self, length: int, /) -> mmap.mmap:
        """Maps the first bytes, shared and writable."""

    def close(self) -> None:
        """Closes the descriptor."""


class CallError(Exception):
    """A call of the KVM interface failed.

    Attributes:
        call: The call's name, as the kernel's documentation spells it.
        errno: The error's number.
    """

    def __init__(self, call: str, error: OSError) -> None:
        """Remembers the call and the kernel's answer."""
        super().__init__(f"{call}: {error.strerror}")
        self.call = call
        self.errno = error.errno or 0


def _call(name: str, call: Callable[[], T]) -> T:
    """Calls, again where a signal came, and names the call where it fails."""
    for _ in range(MAX_RESUMES):
        try:
            return call()
        except InterruptedError as error:
            last: OSError = error
        except OSError as error:
            raise CallError(name, error) from error
    raise CallError(name, last)


def api_version(system: Descriptor, machine: str) -> int:
    """Asks an open ``/dev/kvm``, or what stands in its place, for the version of its interface.

    Args:
        system: The open device.
        machine: ``uname -m`` of the kernel that answers.

    Raises:
        CallError: ``KVM_GET_API_VERSION`` failed.
    """
    return _call("KVM_GET_API_VERSION", lambda: system.ioctl(uapi.Requests(machine).get_api_version))


def extension(system: Descriptor, machine: str, capability: int) -> int:
    """Asks ``KVM_CHECK_EXTENSION``; 0 where the kernel does not know the capability.

    Args:
        system: The open device.
        machine: ``uname -m`` of the kernel that answers.
        capability: Its number.

    Raises:
        CallError: The call failed.
    """
    request = uapi.Requests(machine).check_extension
    return _call("KVM_CHECK_EXTENSION", lambda: system.ioctl(request, capability))


class _Closing:
    """Closes on leaving a ``with`` block."""

    def close(self) -> None:
        """Releases what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Memory:
    """Memory of our own that a guest sees as its RAM.

    It is a part of an `array.array`, which tells its address; the part begins at a page boundary, as the
    kernel asks. The exported view keeps the array from being moved as long as this object lives.
    """

    def __init__(self, size: int) -> None:
        """Takes ``size`` bytes, all zero."""
        self._array = array("B", bytes(size + mmap.PAGESIZE))
        address = self._array.buffer_info()[0]
        start = -address % mmap.PAGESIZE
        self.address = address + start
        self.bytes = memoryview(self._array)[start : start + size]


class VM(_Closing):
    """A virtual machine."""

    def __init__(self, system: Descriptor, machine: str) -> None:
        """Creates it.

        Args:
            system: The open ``/dev/kvm``.
            machine: ``uname -m`` of the kernel that answers.

        Raises:
            CallError: ``KVM_CREATE_VM`` failed.
        """
        self.requests = uapi.Requests(machine)
        self._system = system
        self._memories: list[Memory] = []
        vm_type = self._type()
        self._vm = _call("KVM_CREATE_VM", lambda: system.open(self.requests.create_vm, vm_type))

    def _type(self) -> int:
        """The machine type: 0, but where the kernel refuses that.

        On aarch64 the size of guest addresses, where it is below the default (arch/arm64/kvm/mmu.c,
        ``kvm_init_ipa_range``); on mips one by the virtualization extension, which older kernels take by its
        number only (arch/mips/kvm/mips.c, ``kvm_arch_init_vm``).
        """
        machine = self.requests.machine
        if machine.startswith("aarch64"):
            bits = self.extension(uapi.CAP_ARM_VM_IPA_SIZE)
            return bits if 0 < bits < ARM_DEFAULT_IPA_BITS else 0
        if machine.startswith("mips") and self.extension(uapi.CAP_MIPS_VZ):
            return uapi.VM_MIPS_VZ
        return 0

    def extension(self, capability: int) -> int:
        """Asks ``KVM_CHECK_EXTENSION``; 0 where the kernel does not know the capability.

        Raises:
            CallError: The call failed.
        """
        return extension(self._system, self.requests.machine, capability)

    def ioctl(self, name: str, request: int, argument: int | bytearray = 0) -> int:
        """Calls an ioctl of the VM.

        Raises:
            CallError: The call failed.
        """
        return _call(name, lambda: self._vm.ioctl(request, argument))

    def add_memory(self, memory: Memory, guest_address: int) -> None:
        """Makes memory the guest's RAM at a physical address; keeps it alive as long as the VM.

        Raises:
            CallError: ``KVM_SET_USER_MEMORY_REGION`` failed.
        """
        region = struct.pack(
            "=IIQQQ", len(self._memories), 0, guest_address, len(memory.bytes), memory.address
        )
        self._memories.append(memory)
        self.ioctl("KVM_SET_USER_MEMORY_REGION", self.requests.set_user_memory_region, bytearray(region))

    def create_vcpu(self) -> "VCPU":
        """Creates vCPU 0.

        Raises:
            CallError: ``KVM_GET_VCPU_MMAP_SIZE``, ``KVM_CREATE_VCPU`` or the mapping failed.
        """
        size = _call("KVM_GET_VCPU_MMAP_SIZE", lambda: self._system.ioctl(self.requests.get_vcpu_mmap_size))
        if size < uapi.RUN_LEAST_SIZE:
            raise CallError("KVM_GET_VCPU_MMAP_SIZE", OSError(errno.EINVAL, f"{size} bytes are too few"))
        vcpu = _call("KVM_CREATE_VCPU", lambda: self._vm.open(self.requests.create_vcpu, 0))
        try:
            run = _call("mmap of the vCPU", lambda: vcpu.map(size))
        except BaseException:
            vcpu.close()
            raise
        return VCPU(vcpu, run, self.requests)

    def close(self) -> None:
        """Destroys the VM, then gives its memory back."""
        self._vm.close()
        self._memories.clear()


class VCPU(_Closing):
    """A virtual CPU, and the ``struct kvm_run`` that it shares with us.

    Attributes:
        run: The mapped structure.
        requests: The ioctl requests of this architecture.
    """

    def __init__(self, descriptor: Descriptor, run: mmap.mmap, requests: uapi.Requests) -> None:
        """Takes ownership of the descriptor and its mapping."""
        self._descriptor = descriptor
        self.run = run
        self.requests = requests

    def ioctl(self, name: str, request: int, argument: int | bytearray = 0) -> int:
        """Calls an ioctl of the vCPU.

        Raises:
            CallError: The call failed.
        """
        return _call(name, lambda: self._descriptor.ioctl(request, argument))

    def set_register(self, identifier: int, value: int) -> None:
        """Sets one register of 64 bits.

        Args:
            identifier: What the architecture's header makes of ``KVM_REG_…``.
            value: Its value.

        Raises:
            CallError: ``KVM_SET_ONE_REG`` failed.
        """
        held = array("Q", [value])
        request = struct.pack("=QQ", identifier, held.buffer_info()[0])
        self.ioctl("KVM_SET_ONE_REG", self.requests.set_one_reg, bytearray(request))

    def enter(self, expired: Callable[[], bool]) -> int:
        """Runs the guest until it exits to us, and returns the exit's number (``KVM_EXIT_…``).

        A run that a signal interrupted, that the kernel wants made again (EAGAIN), or that ended without
        anything asked of us, is resumed.

        Args:
            expired: Whether the guest's time has passed; asked at each interruption.

        Raises:
            CallError: ``KVM_RUN`` failed.
            GuestError: It failed, and says more than an error number can.
            GuestTimeoutError: The time has passed.
        """
        refused = 0
        while True:
            try:
                self._descriptor.ioctl(self.requests.run, 0)
            except InterruptedError:
                pass
            except BlockingIOError as error:
                refused += 1
                if refused > MAX_RESUMES:
                    raise CallError("KVM_RUN", error) from error
            except OSError as error:
                # The one error beside which there can be an exit (api.rst, KVM_EXIT_MEMORY_FAULT).
                if error.errno == errno.EFAULT and self._reason() == uapi.EXIT_MEMORY_FAULT:
                    told = describe(self.run, uapi.EXIT_MEMORY_FAULT)
                    raise GuestError(f"the guest left by {told} ({error.strerror})") from error
                raise CallError("KVM_RUN", error) from error
            else:
                reason = self._reason()
                if reason not in RESUMED_EXITS:
                    return reason
            if expired():
                raise GuestTimeoutError

    def _reason(self) -> int:
        (reason,) = struct.unpack_from("=I", self.run, uapi.RUN_EXIT_REASON)
        return int(reason)

    def entry(self) -> Callable[[], int]:
        """Returns a single call of ``KVM_RUN``, for one who times it; it raises OSError, as it comes."""
        return partial(self._descriptor.ioctl, self.requests.run, 0)

    def close(self) -> None:
        """Unmaps the structure and closes the vCPU."""
        try:
            self.run.close()
        finally:
            self._descriptor.close()
