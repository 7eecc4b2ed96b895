"""The oracle's guest for x86-64: real-mode code that multiplies, writes the product to a port, and halts."""

import mmap
import struct

from lab.inside.oracle import FailedError, call

# kernel: include/uapi/linux/kvm.h
KVM_GET_VCPU_MMAP_SIZE, KVM_RUN = 0xAE04, 0xAE80
KVM_SET_USER_MEMORY_REGION = 0x4020AE46
KVM_SET_TSS_ADDR = 0xAE47
KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS = 0x4090AE82, 0x8138AE83, 0x4138AE84
KVM_EXIT_IO, KVM_EXIT_HLT = 2, 5

CODE = bytes.fromhex(
    "b007"  #   mov al, 7
    "b306"  #   mov bl, 6
    "f6e3"  #   mul bl
    "e680"  #   out 0x80, al
    "f4"  #     hlt
)
PRODUCT, PORT, START = 42, 0x80, 0x2000


def run(device: int, vm: int, vcpu: int) -> str:
    """Runs it.

    Raises:
        FailedError: A call failed, or the guest did something else.
    """
    import ctypes

    call("KVM_SET_TSS_ADDR", vm, KVM_SET_TSS_ADDR, 0x7FFB_D000)
    memory = mmap.mmap(-1, 0x1000)
    memory[: len(CODE)] = CODE
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    region = bytearray(struct.pack("=IIQQQ", 0, 0, START, 0x1000, address))
    call("KVM_SET_USER_MEMORY_REGION", vm, KVM_SET_USER_MEMORY_REGION, region)
    size = call("KVM_GET_VCPU_MMAP_SIZE", device, KVM_GET_VCPU_MMAP_SIZE)
    shared = mmap.mmap(vcpu, size)
    special = bytearray(312)
    call("KVM_GET_SREGS", vcpu, KVM_GET_SREGS, special)
    struct.pack_into("=QIH", special, 0, 0, 0xFFFF, 0)
    call("KVM_SET_SREGS", vcpu, KVM_SET_SREGS, special)
    general = bytearray(struct.pack("=18Q", *(16 * (0,)), START, 2))
    call("KVM_SET_REGS", vcpu, KVM_SET_REGS, general)
    call("KVM_RUN", vcpu, KVM_RUN)
    (reason,) = struct.unpack_from("=I", shared, 8)
    if reason != KVM_EXIT_IO:
        raise FailedError(f"KVM_RUN exit {reason}")
    out, width, port, count, offset = struct.unpack_from("=BBHIQ", shared, 32)
    if (out, width, port, count, shared[offset]) != (1, 1, PORT, 1, PRODUCT):
        raise FailedError(f"KVM_RUN port {port:#x} value {shared[offset]}")
    call("KVM_RUN", vcpu, KVM_RUN)
    (reason,) = struct.unpack_from("=I", shared, 8)
    if reason != KVM_EXIT_HLT:
        raise FailedError(f"KVM_RUN exit {reason}")
    return "guest ran"
