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
CAP_PPC_GET_PVINFO = 57
"""Of kvm_pr only (arch/powerpc/kvm/powerpc.c, ``kvm_vm_ioctl_check_extension``)."""

CAP_PPC_PAPR = 68
CAP_MIPS_VZ = 137
CAP_ARM_VM_IPA_SIZE = 165

VM_MIPS_VZ = 1
"""``KVM_VM_MIPS_VZ``: a VM by MIPS's virtualization extension; 0 was one by trapping and emulating."""

PATH = "/dev/kvm"

EXIT_UNKNOWN = 0
EXIT_EXCEPTION = 1
EXIT_IO = 2
EXIT_HLT = 5
EXIT_MMIO = 6
EXIT_IRQ_WINDOW_OPEN = 7
EXIT_SHUTDOWN = 8
EXIT_FAIL_ENTRY = 9
EXIT_INTR = 10
EXIT_INTERNAL_ERROR = 17
EXIT_PAPR_HCALL = 19
EXIT_SYSTEM_EVENT = 24
EXIT_ARM_NISV = 28
EXIT_RISCV_SBI = 35
EXIT_MEMORY_FAULT = 39

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
    11: "SET_TPR",
    12: "TPR_ACCESS",
    13: "S390_SIEIC",
    14: "S390_RESET",
    15: "DCR",
    16: "NMI",
    17: "INTERNAL_ERROR",
    18: "OSI",
    19: "PAPR_HCALL",
    20: "S390_UCONTROL",
    21: "WATCHDOG",
    22: "S390_TSCH",
    23: "EPR",
    24: "SYSTEM_EVENT",
    25: "S390_STSI",
    26: "IOAPIC_EOI",
    27: "HYPERV",
    28: "ARM_NISV",
    29: "X86_RDMSR",
    30: "X86_WRMSR",
    31: "DIRTY_RING_FULL",
    32: "AP_RESET_HOLD",
    33: "X86_BUS_LOCK",
    34: "XEN",
    35: "RISCV_SBI",
    36: "RISCV_CSR",
    37: "NOTIFY",
    38: "LOONGARCH_IOCSR",
    39: "MEMORY_FAULT",
    40: "TDX",
    41: "ARM_SEA",
}

MP_STATE_RUNNABLE = 0
"""``KVM_MP_STATE_RUNNABLE``."""

SYSTEM_EVENT_SHUTDOWN = 1
"""``KVM_SYSTEM_EVENT_SHUTDOWN``."""

EXIT_IO_OUT = 1

RUN_EXIT_REASON = 8
"""Offset of ``exit_reason`` in ``struct kvm_run``."""

RUN_UNION = 32
"""Offset of the union of exits in ``struct kvm_run`` (s390x: 48, after the processor status word)."""

ENABLE_CAP_SIZE = 104
"""Bytes of ``struct kvm_enable_cap``."""

VCPU_INIT_SIZE = 32
"""Bytes of aarch64's ``struct kvm_vcpu_init``."""

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
        """``KVM_SET_REGS`` with ``struct kvm_regs``: 144 bytes on x86, 392 on POWER."""
        return self._encode(0x82, 392 if self.machine.startswith("ppc") else 144, write=True)

    @property
    def get_sregs(self) -> int:
        """``KVM_GET_SREGS`` with the 312 bytes of x86's ``struct kvm_sregs``."""
        return self._encode(0x83, 312, read=True)

    @property
    def set_sregs(self) -> int:
        """``KVM_SET_SREGS`` with the 312 bytes of x86's ``struct kvm_sregs``."""
        return self._encode(0x84, 312, write=True)

    @property
    def get_supported_cpuid(self) -> int:
        """``KVM_GET_SUPPORTED_CPUID`` with the 8 bytes before the entries of x86's ``struct kvm_cpuid2``."""
        return self._encode(0x05, 8, read=True, write=True)

    @property
    def set_cpuid2(self) -> int:
        """``KVM_SET_CPUID2``, likewise."""
        return self._encode(0x90, 8, write=True)

    @property
    def get_msr_feature_index_list(self) -> int:
        """``KVM_GET_MSR_FEATURE_INDEX_LIST`` with the 4 bytes before ``struct kvm_msr_list``'s indices."""
        return self._encode(0x0A, 4, read=True, write=True)

    @property
    def get_msrs(self) -> int:
        """``KVM_GET_MSRS`` with the 8 bytes before the entries of x86's ``struct kvm_msrs``."""
        return self._encode(0x88, 8, read=True, write=True)

    @property
    def set_msrs(self) -> int:
        """``KVM_SET_MSRS``, likewise."""
        return self._encode(0x89, 8, write=True)

    @property
    def enable_cap(self) -> int:
        """``KVM_ENABLE_CAP`` with ``struct kvm_enable_cap``."""
        return self._encode(0xA3, ENABLE_CAP_SIZE, write=True)

    @property
    def set_mp_state(self) -> int:
        """``KVM_SET_MP_STATE`` with ``struct kvm_mp_state``."""
        return self._encode(0x99, 4, write=True)

    @property
    def set_one_reg(self) -> int:
        """``KVM_SET_ONE_REG`` with ``struct kvm_one_reg``."""
        return self._encode(0xAC, 16, write=True)

    @property
    def arm_vcpu_init(self) -> int:
        """``KVM_ARM_VCPU_INIT`` with ``struct kvm_vcpu_init`` (aarch64)."""
        return self._encode(0xAE, VCPU_INIT_SIZE, write=True)

    @property
    def arm_preferred_target(self) -> int:
        """``KVM_ARM_PREFERRED_TARGET`` with ``struct kvm_vcpu_init`` (aarch64)."""
        return self._encode(0xAF, VCPU_INIT_SIZE, read=True)
