"""Numbers and structures of the KVM interface, from the kernel's UAPI headers.

Sources, below ``include/uapi``: ``linux/kvm.h`` for requests, exits and ``struct kvm_run``;
``asm-generic/ioctl.h`` for the encoding of a request, ``arch/{powerpc,mips,sparc,alpha}/…/asm/ioctl.h`` for
the architectures that encode its direction otherwise.
"""

from typing import NamedTuple

API_VERSION = 12
"""``KVM_API_VERSION``: the only one since Linux 2.6.22."""

MISC_MAJOR = 10
"""Major number of misc devices (``linux/major.h``)."""

KVM_MINOR = 232
"""Minor number of ``/dev/kvm`` (``linux/miscdevice.h``; kernel: Documentation/admin-guide/devices.txt)."""

CAP_SET_TSS_ADDR = 4
CAP_ARM_VM_IPA_SIZE = 165

PATH = "/dev/kvm"

EXIT_UNKNOWN = 0
EXIT_IO = 2
EXIT_HLT = 5
EXIT_SHUTDOWN = 8
EXIT_FAIL_ENTRY = 9
EXIT_INTR = 10
EXIT_INTERNAL_ERROR = 17

EXIT_NAMES = {
    0: "UNKNOWN",
    1: "EXCEPTION",
    2: "IO",
    3: "HYPERCALL",
    4: "DEBUG",
    5: "HLT",
    6: "MMIO",
    7: "IRQ_WINDOW_OPEN",
    8: "SHUTDOWN",
    9: "FAIL_ENTRY",
    10: "INTR",
    13: "S390_SIEIC",
    17: "INTERNAL_ERROR",
    19: "PAPR_HCALL",
    24: "SYSTEM_EVENT",
    35: "RISCV_SBI",
    37: "NOTIFY",
    39: "MEMORY_FAULT",
}

EXIT_IO_OUT = 1

RUN_EXIT_REASON = 8
"""Offset of ``exit_reason`` in ``struct kvm_run``."""

RUN_UNION = 32
"""Offset of the union of exits in ``struct kvm_run`` (s390x: 48, after the processor status word)."""

RUN_LEAST_SIZE = 2048
"""Bytes below which a mapping cannot hold ``struct kvm_run``, whose union alone is padded to 256."""

_KVMIO = 0xAE
_NUMBER_BITS = 8
_TYPE_BITS = 8

_SWAPPED = ("ppc", "mips", "sparc", "alpha")
"""Architectures with 13 size bits and NONE=1, READ=2, WRITE=4; all others have 14 bits and 0, 2, 1."""


class Requests(NamedTuple):
    """The ioctl requests of one architecture.

    Attributes:
        machine: ``uname -m``.
    """

    machine: str

    def _encode(self, number: int, size: int, *, read: bool = False, write: bool = False) -> int:
        if self.machine.startswith(_SWAPPED):
            size_bits, direction = 13, (2 if read else 0) | (4 if write else 0) or 1
        else:
            size_bits, direction = 14, (2 if read else 0) | (1 if write else 0)
        size_shift = _NUMBER_BITS + _TYPE_BITS
        return direction << (size_shift + size_bits) | size << size_shift | _KVMIO << _NUMBER_BITS | number

    @property
    def get_api_version(self) -> int:
        """``KVM_GET_API_VERSION``."""
        return self._encode(0x00, 0)

    @property
    def create_vm(self) -> int:
        """``KVM_CREATE_VM``."""
        return self._encode(0x01, 0)

    @property
    def check_extension(self) -> int:
        """``KVM_CHECK_EXTENSION``."""
        return self._encode(0x03, 0)

    @property
    def get_vcpu_mmap_size(self) -> int:
        """``KVM_GET_VCPU_MMAP_SIZE``."""
        return self._encode(0x04, 0)

    @property
    def create_vcpu(self) -> int:
        """``KVM_CREATE_VCPU``."""
        return self._encode(0x41, 0)

    @property
    def set_user_memory_region(self) -> int:
        """``KVM_SET_USER_MEMORY_REGION`` with ``struct kvm_userspace_memory_region``."""
        return self._encode(0x46, 32, write=True)

    @property
    def set_tss_addr(self) -> int:
        """``KVM_SET_TSS_ADDR`` (x86)."""
        return self._encode(0x47, 0)

    @property
    def run(self) -> int:
        """``KVM_RUN``."""
        return self._encode(0x80, 0)

    @property
    def set_regs(self) -> int:
        """``KVM_SET_REGS`` with the 144 bytes of x86's ``struct kvm_regs``."""
        return self._encode(0x82, 144, write=True)

    @property
    def get_sregs(self) -> int:
        """``KVM_GET_SREGS`` with the 312 bytes of x86's ``struct kvm_sregs``."""
        return self._encode(0x83, 312, read=True)

    @property
    def set_sregs(self) -> int:
        """``KVM_SET_SREGS`` with the 312 bytes of x86's ``struct kvm_sregs``."""
        return self._encode(0x84, 312, write=True)
