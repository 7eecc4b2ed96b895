"""The oracle's way with guests that store a product, and the number after it, where no memory is."""

import mmap
import struct
from collections.abc import Callable

from lab.inside.oracle import FailedError, call

# kernel: include/uapi/linux/kvm.h, asm-generic/ioctl.h
KVM_GET_VCPU_MMAP_SIZE, KVM_RUN = 0xAE04, 0xAE80
KVM_SET_USER_MEMORY_REGION, KVM_SET_ONE_REG = 0x4020AE46, 0x4010AEAC
KVM_EXIT_MMIO = 6

PRODUCT, DEVICE, START = 42, 0x0300_0000, 0x8020_0000


def run(device: int, vm: int, vcpu: int, code: bytes, pc: int, prepare: Callable[[], None]) -> str:
    """Runs code.

    Args:
        device: The open device.
        vm: The VM.
        vcpu: The vCPU.
        code: What it executes.
        pc: The number of its register of that name.
        prepare: What it needs before it has registers.

    Raises:
        FailedError: A call failed, or the guest did something else.
    """
    import ctypes

    memory = mmap.mmap(-1, 0x10000)
    memory[: len(code)] = code
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    region = bytearray(struct.pack("=IIQQQ", 0, 0, START, 0x10000, address))
    call("KVM_SET_USER_MEMORY_REGION", vm, KVM_SET_USER_MEMORY_REGION, region)
    prepare()
    start = ctypes.c_uint64(START)
    register = bytearray(struct.pack("=QQ", pc, ctypes.addressof(start)))
    call("KVM_SET_ONE_REG", vcpu, KVM_SET_ONE_REG, register)
    shared = mmap.mmap(vcpu, call("KVM_GET_VCPU_MMAP_SIZE", device, KVM_GET_VCPU_MMAP_SIZE))
    for offset in (0, 1):
        call("KVM_RUN", vcpu, KVM_RUN)
        (reason,) = struct.unpack_from("=I", shared, 8)
        if reason != KVM_EXIT_MMIO:
            raise FailedError(f"KVM_RUN exit {reason}")
        seen = struct.unpack_from("=QB7xIB", shared, 32)
        if seen != (DEVICE + offset, PRODUCT + offset, 1, 1):
            raise FailedError(f"KVM_RUN store {seen}")
    return "guest ran"
