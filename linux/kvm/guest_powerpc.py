"""A guest for 64-bit POWER: code that computes a value and makes hypercalls with it.

A hypercall that KVM does not know is handed to us (``KVM_EXIT_PAPR_HCALL``) once the vCPU has the PAPR
interface; our answer is what the guest goes on with. Registers: ``struct kvm_regs`` of
``arch/powerpc/include/uapi/asm/kvm.h``; hypercalls: Power Architecture Platform Reference, *H_PUT_TERM_CHAR*
(``arch/powerpc/include/asm/hvcall.h``). The code is big-endian, which every such CPU executes.
"""

import mmap
import struct
from collections.abc import Callable

from linux.kvm import task, uapi
from linux.kvm.exits import GuestError, NoGuestError, expect
from linux.kvm.machine import VCPU, VM, Memory

CODE = struct.pack(
    ">14I",
    0x38C01234,  #        li r6, 0x1234
    0x38E00567,  #        li r7, 0x567
    0x39000003,  #        li r8, 3
    0x7D0903A6,  #        mtctr r8
    0x7CC63A14,  # again: add r6, r6, r7
    0x4200FFFC,  #        bdnz again
    0x38A00002,  #        li r5, 2             (two characters)
    0x38800000,  #        li r4, 0             (of terminal 0)
    0x38600058,  #        li r3, 0x58          (H_PUT_TERM_CHAR)
    0x44000022,  #        sc 1
    0x7CC61A14,  #        add r6, r6, r3       (our answer)
    0x38600058,  # call:  li r3, 0x58
    0x44000022,  #        sc 1
    0x4BFFFFF8,  #        b call               (from here on: exits to be timed)
)
_CALL, _CALL_IN_PROBLEM_STATE = struct.pack(">I", 0x44000022), struct.pack(">I", 0x7C000268)
"""``sc 1``, and what kvm_pr takes for it: it runs guests in problem state, where a hypervisor below the host
answers ``sc 1`` itself (``OP_31_XOP_FAKE_SC1`` of ``arch/powerpc/kvm/book3s_emulate.c``).
"""

CODE_ADDRESS = 0x100
"""RAM begins at 0: where the host translates by a hash table, KVM asks for memory there."""

H_PUT_TERM_CHAR = 0x58
"""No hypercall of the kernel's own: a console is user space's."""

ANSWER = 0x1357
"""What the first hypercall gives back; the guest adds it to its sum."""

_HYPERCALL = struct.Struct("=QQ9Q")
"""``papr_hcall`` of ``struct kvm_run``: number, return value, arguments."""

_RETURN = 8
"""Offset of ``ret`` in it."""

_MSR_SF, _MSR_ME = 1 << 63, 1 << 12
"""64-bit mode, machine checks enabled; translation and interrupts are off (``asm/reg.h``)."""


def run(vm: VM, vcpu: VCPU, expired: Callable[[], bool], *, code: bytes = CODE) -> str:
    """Executes the guest and checks the values of its hypercalls.

    Args:
        vm: A VM without memory.
        vcpu: Its vCPU, as it was created.
        expired: Whether the guest's time has passed.
        code: Machine code to run at `CODE_ADDRESS`, at most a page less that.

    Returns:
        What was executed, for a person.

    Raises:
        CallError: A call failed.
        GuestError: The guest left by another way than expected, or with a wrong value.
        GuestTimeoutError: The guest did not finish in time.
        NoGuestError: This KVM has no PAPR interface: it is that of an embedded CPU.
    """
    if not vm.extension(uapi.CAP_PPC_PAPR):
        raise NoGuestError("this KVM has no PAPR hypercalls (KVM_CAP_PPC_PAPR)")
    if vm.extension(uapi.CAP_PPC_GET_PVINFO):
        code = code.replace(_CALL, _CALL_IN_PROBLEM_STATE)
    memory = Memory(mmap.PAGESIZE)
    memory.bytes[CODE_ADDRESS : CODE_ADDRESS + len(code)] = code
    vm.add_memory(memory, 0)
    capability = struct.pack("=II", uapi.CAP_PPC_PAPR, 0).ljust(uapi.ENABLE_CAP_SIZE, b"\0")
    vcpu.ioctl("KVM_ENABLE_CAP of KVM_CAP_PPC_PAPR", vcpu.requests.enable_cap, bytearray(capability))
    pc, cr, ctr, lr, xer, msr = CODE_ADDRESS, 0, 0, 0, 0, _MSR_SF | _MSR_ME
    registers = struct.pack("=49Q", pc, cr, ctr, lr, xer, msr, *(43 * [0]))
    vcpu.ioctl("KVM_SET_REGS", vcpu.requests.set_regs, bytearray(registers))
    task.expect_sum(_hypercall(vcpu, expired), "made a hypercall with …")
    struct.pack_into("=Q", vcpu.run, uapi.RUN_UNION + _RETURN, ANSWER)
    value = _hypercall(vcpu, expired)
    if value != task.SUM + ANSWER:
        raise GuestError(
            f"the guest made its second hypercall with {value:#x}; {task.SUM + ANSWER:#x}, our answer "
            "added, is right"
        )
    return (
        f"a guest's code made a hypercall with {task.SUM:#06x}, and with our answer added another with "
        f"{value:#06x}, as it must"
    )


def repeat(vcpu: VCPU) -> int:  # noqa: ARG001 -- as every guest's
    """Has the guest make its second hypercall again and again, which it does by itself."""
    return uapi.EXIT_PAPR_HCALL


def _hypercall(vcpu: VCPU, expired: Callable[[], bool]) -> int:
    """Enters the guest until its next hypercall, and returns the characters that it puts out."""
    expect(vcpu.run, vcpu.enter(expired), uapi.EXIT_PAPR_HCALL)
    number, _, terminal, length, characters, *_ = _HYPERCALL.unpack_from(vcpu.run, uapi.RUN_UNION)
    if (number, terminal, length) != (H_PUT_TERM_CHAR, 0, 2):
        raise GuestError(
            f"the guest made hypercall {number:#x} with {terminal:#x}, {length:#x}; "
            f"{H_PUT_TERM_CHAR:#x} with 0x0, 0x2 is right"
        )
    return int(characters)
