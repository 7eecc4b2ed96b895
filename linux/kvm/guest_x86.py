"""A guest for x86: real-mode code that computes a value, writes it to a port, and halts.

The value is known only by executing the loop. Registers: ``struct kvm_regs`` and ``struct kvm_sregs`` of
``arch/x86/include/uapi/asm/kvm.h``.
"""

import struct
from collections.abc import Callable

from linux.kvm import task, uapi
from linux.kvm.exits import GuestError, expect
from linux.kvm.machine import VCPU, VM, Memory

CODE = (
    b"\x01\xd8"  #      again: add ax, bx
    b"\xe2\xfc"  #             loop again        (cx times)
    b"\xba\xf4\x00"  #         mov dx, 0xf4
    b"\xef"  #                 out dx, ax
    b"\xf4"  #                 hlt
    b"\xef"  #      repeat:    out dx, ax       (from here on: exits to be timed)
    b"\xeb\xfd"  #             jmp repeat
)
CODE_ADDRESS = 0x1000
PORT = 0xF4
"""No device of the kernel's own is there: the VM has no interrupt controller in the kernel."""

TSS_ADDRESS = 0x7FFF_D000
"""Three pages that Intel CPUs without *unrestricted guest* need for real mode; not the guest's RAM."""

_RFLAGS = 0x2
"""Bit 1 is always set (Intel SDM volume 1, 3.4.3)."""

_CODE_SEGMENT = 0
"""``cs`` is the first member of ``struct kvm_sregs``: base (8 bytes), limit (4), selector (2), …"""


def run(vm: VM, vcpu: VCPU, expired: Callable[[], bool], *, code: bytes = CODE) -> str:
    """Executes the guest and checks the value that it writes.

    Args:
        vm: A VM without memory.
        vcpu: Its vCPU, as it was created.
        expired: Whether the guest's time has passed.
        code: Machine code to run at `CODE_ADDRESS`, at most a page.

    Returns:
        What was executed, for a person.

    Raises:
        CallError: A call failed.
        GuestError: The guest left by another way than expected, or with a wrong value.
        GuestTimeoutError: The guest did not finish in time.
    """
    if vm.extension(uapi.CAP_SET_TSS_ADDR):
        vm.ioctl("KVM_SET_TSS_ADDR", vm.requests.set_tss_addr, TSS_ADDRESS)
    memory = Memory(0x1000)
    memory.bytes[: len(code)] = code
    vm.add_memory(memory, CODE_ADDRESS)
    _set_registers(vcpu)
    expect(vcpu.run, vcpu.enter(expired), uapi.EXIT_IO)
    value = _port_write(vcpu)
    task.expect_sum(value, f"wrote … to port {PORT:#x}")
    expect(vcpu.run, vcpu.enter(expired), uapi.EXIT_HLT)
    return f"a guest's real-mode code wrote {value:#06x} to port {PORT:#x} and halted, as it must"


def repeat(vcpu: VCPU) -> int:  # noqa: ARG001 -- as every guest's
    """Has the guest write to its port again and again: a vCPU that halted goes on behind the instruction."""
    return uapi.EXIT_IO


def _set_registers(vcpu: VCPU) -> None:
    system = bytearray(312)
    vcpu.ioctl("KVM_GET_SREGS", vcpu.requests.get_sregs, system)
    struct.pack_into("=Q", system, _CODE_SEGMENT, 0)
    struct.pack_into("=H", system, _CODE_SEGMENT + 12, 0)
    vcpu.ioctl("KVM_SET_SREGS", vcpu.requests.set_sregs, system)
    rax, rbx, rcx = task.START, task.STEP, task.TIMES
    registers = struct.pack("=18Q", rax, rbx, rcx, *(13 * [0]), CODE_ADDRESS, _RFLAGS)
    vcpu.ioctl("KVM_SET_REGS", vcpu.requests.set_regs, bytearray(registers))


def _port_write(vcpu: VCPU) -> int:
    direction, size, port, count, offset = struct.unpack_from("=BBHIQ", vcpu.run, uapi.RUN_UNION)
    if (direction, size, port, count) != (uapi.EXIT_IO_OUT, 2, PORT, 1) or offset > len(vcpu.run) - 2:
        raise GuestError(
            f"the guest's port access has direction {direction}, size {size}, port {port:#x}, count {count}; "
            f"one write of 2 bytes to port {PORT:#x} is right"
        )
    (value,) = struct.unpack_from("=H", vcpu.run, offset)
    return int(value)
