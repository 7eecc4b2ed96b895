"""The oracle's guest for ppc64le: code that multiplies, and makes hypercalls with the product."""

import mmap
import struct

from lab.inside.oracle import FailedError, call

# kernel: include/uapi/linux/kvm.h, arch/powerpc/include/uapi/asm/{kvm,ioctl}.h
KVM_GET_VCPU_MMAP_SIZE, KVM_RUN = 0x2000AE04, 0x2000AE80
KVM_SET_USER_MEMORY_REGION, KVM_ENABLE_CAP = 0x8020AE46, 0x8068AEA3
KVM_GET_REGS, KVM_SET_REGS = 0x4188AE81, 0x8188AE82
KVM_CAP_PPC_PAPR, KVM_EXIT_PAPR_HCALL = 68, 19

CODE = bytes.fromhex(
    "07008038"  #  li r4, 7
    "0600841c"  #  mulli r4, r4, 6
    "54006038"  #  li r3, 0x54        (H_GET_TERM_CHAR)
    "22000044"  #  sc 1
    "01008438"  #  addi r4, r4, 1
    "54006038"  #  li r3, 0x54
    "22000044"  #  sc 1
    "00000048"  #  b .
)
PRODUCT, START, MSR = 42, 0x400, 0x8000_0000_0000_0001


def run(device: int, vm: int, vcpu: int) -> str:
    """Runs it.

    Raises:
        FailedError: A call failed, or the guest did something else.
    """
    import ctypes

    memory = mmap.mmap(-1, 0x10000)
    memory[START : START + len(CODE)] = CODE
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    region = bytearray(struct.pack("=IIQQQ", 0, 0, 0, 0x10000, address))
    call("KVM_SET_USER_MEMORY_REGION", vm, KVM_SET_USER_MEMORY_REGION, region)
    capability = bytearray(struct.pack("=I100x", KVM_CAP_PPC_PAPR))
    call("KVM_ENABLE_CAP", vcpu, KVM_ENABLE_CAP, capability)
    registers = bytearray(392)
    call("KVM_GET_REGS", vcpu, KVM_GET_REGS, registers)
    struct.pack_into("=Q", registers, 0, START)
    struct.pack_into("=Q", registers, 40, MSR)
    call("KVM_SET_REGS", vcpu, KVM_SET_REGS, registers)
    shared = mmap.mmap(vcpu, call("KVM_GET_VCPU_MMAP_SIZE", device, KVM_GET_VCPU_MMAP_SIZE))
    for added in (0, 1):
        call("KVM_RUN", vcpu, KVM_RUN)
        (reason,) = struct.unpack_from("=I", shared, 8)
        if reason != KVM_EXIT_PAPR_HCALL:
            raise FailedError(f"KVM_RUN exit {reason}")
        number, _, value = struct.unpack_from("=QQQ", shared, 32)
        if (number, value) != (0x54, PRODUCT + added):
            raise FailedError(f"KVM_RUN hypercall {number:#x} {value}")
    return "guest ran"
