"""A guest for riscv64: code that computes a value, stores it where no memory is, and powers off.

A vCPU starts in supervisor mode with its MMU off. Registers: ``arch/riscv/include/uapi/asm/kvm.h``; the
firmware's calls: RISC-V SBI specification, *System Reset* (since Linux 5.18) and *Legacy System Shutdown*.
"""

import struct
from collections.abc import Callable

from linux.kvm import mmio
from linux.kvm.machine import VCPU, VM

CODE = struct.pack(
    "<20I",
    0x000012B7,  #        lui t0, 1
    0x2342829B,  #        addiw t0, t0, 0x234
    0x56700313,  #        li t1, 0x567
    0x00300393,  #        li t2, 3
    0x006282B3,  # again: add t0, t0, t1
    0xFFF38393,  #        addi t2, t2, -1
    0xFE039CE3,  #        bnez t2, again
    0x10000E37,  #        lui t3, 0x10000
    0x005E2023,  #        sw t0, 0(t3)
    0x535258B7,  #        lui a7, 0x53525
    0x3548889B,  #        addiw a7, a7, 0x354  (SRST)
    0x00000813,  #        li a6, 0             (system reset)
    0x00000513,  #        li a0, 0             (shutdown)
    0x00000593,  #        li a1, 0             (no reason)
    0x00000073,  #        ecall
    0x00800893,  #        li a7, 8             (legacy shutdown, where SRST is not known)
    0x00000073,  #        ecall
    0x0000006F,  # end:   j end
    0x005E2023,  # store: sw t0, 0(t3)         (from here on: exits to be timed)
    0xFFDFF06F,  #        j store
)
REPEAT_ADDRESS = mmio.CODE_ADDRESS + 72

PC = 0x8030_0000_0200_0000
"""``KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | KVM_REG_RISCV_CORE_REG(regs.pc)``."""


def run(vm: VM, vcpu: VCPU, expired: Callable[[], bool], *, code: bytes = CODE) -> str:
    """Executes the guest and checks the value that it stores; see `mmio.run`.

    Args:
        vm: A VM without memory.
        vcpu: Its vCPU, as it was created.
        expired: Whether the guest's time has passed.
        code: Machine code, at most a page.
    """
    mmio.load(vm, code)
    vcpu.set_register(PC, mmio.CODE_ADDRESS)
    return mmio.run(vcpu, expired)


def repeat(vcpu: VCPU) -> int:
    """Has the guest store again and again; see `mmio.repeat`."""
    return mmio.repeat(vcpu, PC, REPEAT_ADDRESS)
