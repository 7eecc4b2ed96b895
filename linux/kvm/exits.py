"""What an exit of a guest says, for a person (``struct kvm_run`` of ``include/uapi/linux/kvm.h``)."""

import mmap
import struct

from linux.kvm import uapi

INTERNAL_ERRORS = {1: "EMULATION", 2: "SIMUL_EX", 3: "DELIVERY_EV", 4: "UNEXPECTED_EXIT_REASON"}
"""``KVM_INTERNAL_ERROR_…``."""

MAX_DATA = 16
"""Numbers that an exit with data can hold."""

_DETAILS = {
    uapi.EXIT_UNKNOWN: ("=Q", "hardware exit reason {:#x}"),
    uapi.EXIT_EXCEPTION: ("=II", "exception {}, error code {:#x}"),
    uapi.EXIT_IO: ("=BBH", "direction {}, size {}, port {:#x}"),
    uapi.EXIT_MMIO: ("=Q8xIB", "address {:#x}, {} bytes, write {}"),
    uapi.EXIT_FAIL_ENTRY: ("=QI", "hardware entry failure reason {:#x}, on CPU {}"),
    uapi.EXIT_PAPR_HCALL: ("=Q", "hypercall {:#x}"),
    uapi.EXIT_SYSTEM_EVENT: ("=I", "event {}"),
    uapi.EXIT_ARM_NISV: ("=QQ", "syndrome {:#x}, address {:#x}"),
    uapi.EXIT_RISCV_SBI: ("=QQ", "extension {:#x}, function {:#x}"),
    uapi.EXIT_MEMORY_FAULT: ("=QQQ", "flags {:#x}, address {:#x}, {} bytes"),
}
"""The first members of an exit's part of the union, and how they are told."""


class GuestError(Exception):
    """A guest did not do what its instructions say; the message is what came back instead."""


class GuestTimeoutError(Exception):
    """The guest was still running when its time had passed."""


class NoGuestError(Exception):
    """This KVM, though it works, cannot run the guest that we have; the message says why."""


def expect(run: mmap.mmap, reason: int, expected: int) -> None:
    """Compares the reason of an exit.

    Raises:
        GuestError: It is another one.
    """
    if reason != expected:
        raise GuestError(
            f"the guest left by {describe(run, reason)}; KVM_EXIT_{uapi.EXIT_NAMES[expected]} is right"
        )


def describe(run: mmap.mmap, reason: int) -> str:
    """Returns the exit's name, with what the hardware or the kernel says about it where there is that."""
    name = f"KVM_EXIT_{uapi.EXIT_NAMES.get(reason, reason)}"
    if reason == uapi.EXIT_INTERNAL_ERROR:
        return f"{name}, {_internal_error(run)}"
    if reason not in _DETAILS:
        return name
    layout, words = _DETAILS[reason]
    return f"{name}, {words.format(*struct.unpack_from(layout, run, uapi.RUN_UNION))}"


def _internal_error(run: mmap.mmap) -> str:
    code, count = struct.unpack_from("=II", run, uapi.RUN_UNION)
    data = struct.unpack_from(f"={min(count, MAX_DATA)}Q", run, uapi.RUN_UNION + 8)
    numbers = f", data {' '.join(f'{number:#x}' for number in data)}" if data else ""
    return f"suberror {code} ({INTERNAL_ERRORS.get(code, 'not known')}){numbers}"
