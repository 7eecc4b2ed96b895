"""What an exit of a guest says, for a person (``struct kvm_run`` of ``include/uapi/linux/kvm.h``)."""

import mmap
import struct

from linux.kvm import uapi

INTERNAL_ERRORS = {1: "EMULATION", 2: "SIMUL_EX", 3: "DELIVERY_EV", 4: "UNEXPECTED_EXIT_REASON"}
"""``KVM_INTERNAL_ERROR_…``."""


class GuestError(Exception):
    """A guest did not do what its instructions say; the message is what came back instead."""


class GuestTimeoutError(Exception):
    """The guest was still running when its time had passed."""


def describe(run: mmap.mmap, reason: int) -> str:
    """Returns the exit's name, with the hardware's reason where there is one."""
    name = f"KVM_EXIT_{uapi.EXIT_NAMES.get(reason, reason)}"
    if reason == uapi.EXIT_FAIL_ENTRY:
        (code,) = struct.unpack_from("=Q", run, uapi.RUN_UNION)
        return f"{name}, hardware entry failure reason {code:#x}"
    if reason == uapi.EXIT_UNKNOWN:
        (code,) = struct.unpack_from("=Q", run, uapi.RUN_UNION)
        return f"{name}, hardware exit reason {code:#x}"
    if reason == uapi.EXIT_INTERNAL_ERROR:
        (code,) = struct.unpack_from("=I", run, uapi.RUN_UNION)
        return f"{name}, suberror {code} ({INTERNAL_ERRORS.get(code, 'not known')})"
    return name
