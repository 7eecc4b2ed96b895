"""A guest for aarch64: code that computes a value, stores it where no memory is, and powers off.

``KVM_ARM_VCPU_INIT`` brings the vCPU to EL1 with its MMU off. Registers:
``arch/arm64/include/uapi/asm/kvm.h``; the firmware's call: PSCI 0.2 (``include/uapi/linux/psci.h``), by HVC.
"""

import struct
from collections.abc import Callable

from linux.kvm import mmio, uapi
from linux.kvm.machine import VCPU, VM

CODE = struct.pack(
    "<14I",
    0x52824680,  #        mov w0, #0x1234
    0x5280ACE1,  #        mov w1, #0x567
    0x52800062,  #        mov w2, #3
    0x0B010000,  # again: add w0, w0, w1
    0x71000442,  #        subs w2, w2, #1
    0x54FFFFC1,  #        b.ne again
    0x52A20003,  #        mov w3, #0x10000000
    0xB9000060,  #        str w0, [x3]
    0x52B08000,  #        mov w0, #0x84000000
    0x72800100,  #        movk w0, #8          (PSCI_0_2_FN_SYSTEM_OFF)
    0xD4000002,  #        hvc #0
    0x14000000,  # end:   b end
    0xB9000060,  # store: str w0, [x3]         (from here on: exits to be timed)
    0x17FFFFFF,  #        b store
)

REPEAT_ADDRESS = mmio.CODE_ADDRESS + 48

PC = 0x6030_0000_0010_0040
"""``KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.pc)``."""

VCPU_PSCI_0_2 = 2
"""``KVM_ARM_VCPU_PSCI_0_2``: the bit of a feature in ``struct kvm_vcpu_init``."""

_FEATURES = 4
"""Offset of ``features`` in ``struct kvm_vcpu_init``, after the target."""


def run(vm: VM, vcpu: VCPU, expired: Callable[[], bool], *, code: bytes = CODE) -> str:
    """Executes the guest and checks the value that it stores; see `mmio.run`.

    Args:
        vm: A VM without memory.
        vcpu: Its vCPU, as it was created.
        expired: Whether the guest's time has passed.
        code: Machine code, at most a page.
    """
    mmio.load(vm, code)
    setup = bytearray(uapi.VCPU_INIT_SIZE)
    vm.ioctl("KVM_ARM_PREFERRED_TARGET", vm.requests.arm_preferred_target, setup)
    struct.pack_into("=I", setup, _FEATURES, 1 << VCPU_PSCI_0_2)
    vcpu.ioctl("KVM_ARM_VCPU_INIT", vcpu.requests.arm_vcpu_init, setup)
    vcpu.set_register(PC, mmio.CODE_ADDRESS)
    return mmio.run(vcpu, expired)


def repeat(vcpu: VCPU) -> int:
    """Has the guest store again and again; see `mmio.repeat`."""
    return mmio.repeat(vcpu, PC, REPEAT_ADDRESS)
