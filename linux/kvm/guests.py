"""Which architecture has code for a guest to run; one module an architecture.

A guest is a function of a VM, its vCPU and a time limit. It returns one line that says what was executed, or
raises an error of `linux.kvm.exits`: `NoGuestError` where there is none, a VM and a vCPU being created.
"""

from collections.abc import Callable
from importlib import import_module

from linux.kvm.exits import NoGuestError
from linux.kvm.machine import VCPU, VM

Guest = Callable[[VM, VCPU, Callable[[], bool]], str]
Repeat = Callable[[VCPU], int]
"""Readies a vCPU, whose guest has run, for exits that are timed, and returns their number (``KVM_EXIT_…``);
raises CallError."""


_MODULES = {
    "x86_64": "guest_x86",
    "i686": "guest_x86",
    "aarch64": "guest_arm64",
    "riscv64": "guest_riscv64",
    "ppc64le": "guest_powerpc",
    "ppc64": "guest_powerpc",
}
"""By ``uname -m`` of the kernel that answers. Imported where it is needed: a machine needs one."""


def find(machine: str) -> Guest:
    """Returns the guest of an architecture, by ``uname -m`` of the kernel that answers."""
    if machine not in _MODULES:
        return _none
    guest: Guest = import_module(f"linux.kvm.{_MODULES[machine]}").run
    return guest


def repeating(machine: str) -> Repeat | None:
    """Returns how an architecture's guest is had to make one exit again and again, None without a guest."""
    if machine not in _MODULES:
        return None
    repeat: Repeat = import_module(f"linux.kvm.{_MODULES[machine]}").repeat
    return repeat


def _none(vm: VM, vcpu: VCPU, expired: Callable[[], bool]) -> str:  # noqa: ARG001 -- as every guest
    raise NoGuestError(f"there is no guest for {vm.requests.machine}")
