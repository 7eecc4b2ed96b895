"""How a guest's value comes out where the architecture has no ports.

The guest stores it at an address where there is no memory and no device of the kernel's own: the store is
handed to us (``KVM_EXIT_MMIO``), and the guest goes on when it is entered again. Then it asks the firmware,
which is KVM, to switch the power off: ``KVM_EXIT_SYSTEM_EVENT`` (kernel: Documentation/virt/kvm/api.rst).
"""

import mmap
import struct
from collections.abc import Callable

from linux.kvm import task, uapi
from linux.kvm.exits import GuestError, expect
from linux.kvm.machine import VCPU, VM, Memory

CODE_ADDRESS = 0x8000_0000
"""Where guests' RAM begins on riscv64; aarch64 does not mind. Both have at least 32 bits of addresses."""

DEVICE_ADDRESS = 0x1000_0000

_STORE = struct.Struct("=Q8sI?")
"""``mmio`` of ``struct kvm_run``: address, data, length, whether it is a write."""


def load(vm: VM, code: bytes) -> None:
    """Puts code at `CODE_ADDRESS`.

    Raises:
        CallError: A call failed.
    """
    memory = Memory(mmap.PAGESIZE)
    memory.bytes[: len(code)] = code
    vm.add_memory(memory, CODE_ADDRESS)


def run(vcpu: VCPU, expired: Callable[[], bool]) -> str:
    """Enters a guest, and checks its store and its end.

    Args:
        vcpu: A vCPU that stands at the code's start.
        expired: Whether the guest's time has passed.

    Returns:
        What was executed, for a person.

    Raises:
        CallError: A call failed.
        GuestError: The guest left by another way than expected, or with a wrong value.
        GuestTimeoutError: The guest did not finish in time.
    """
    expect(vcpu.run, vcpu.enter(expired), uapi.EXIT_MMIO)
    address, data, length, is_write = _STORE.unpack_from(vcpu.run, uapi.RUN_UNION)
    if (address, length, is_write) != (DEVICE_ADDRESS, 4, True):
        raise GuestError(
            f"the guest {'wrote' if is_write else 'read'} {length} bytes at {address:#x}; "
            f"one write of 4 bytes at {DEVICE_ADDRESS:#x} is right"
        )
    (value,) = struct.unpack_from("=I", data)
    task.expect_sum(value, f"stored … at {DEVICE_ADDRESS:#x}")
    expect(vcpu.run, vcpu.enter(expired), uapi.EXIT_SYSTEM_EVENT)
    (event,) = struct.unpack_from("=I", vcpu.run, uapi.RUN_UNION)
    if event != uapi.SYSTEM_EVENT_SHUTDOWN:
        raise GuestError(
            f"the guest's system event is {event}; {uapi.SYSTEM_EVENT_SHUTDOWN} (power off) is right"
        )
    return f"a guest's code stored {value:#06x} at {DEVICE_ADDRESS:#x} and powered off, as it must"


def repeat(vcpu: VCPU, counter: int, address: int) -> int:
    """Has a guest that powered off go on with code that stores again and again.

    Args:
        vcpu: The vCPU, which keeps its registers.
        counter: Identifier of the program counter.
        address: Where that code is.

    Returns:
        The number of the exit that it makes.

    Raises:
        CallError: A call failed.
    """
    state = struct.pack("=I", uapi.MP_STATE_RUNNABLE)
    vcpu.ioctl("KVM_SET_MP_STATE", vcpu.requests.set_mp_state, bytearray(state))
    vcpu.set_register(counter, address)
    return uapi.EXIT_MMIO
