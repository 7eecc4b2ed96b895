"""Which architecture has code for a guest to run; one module an architecture.

A guest is a function of a VM, its vCPU and a time limit. It returns one line that says what was executed, or
raises an error of `linux.kvm.exits`: `NoGuestError` where there is none, a VM and a vCPU being created.
"""

from collections.abc import Callable

from linux.kvm.exits import NoGuestError
from linux.kvm.machine import VCPU, VM

Guest = Callable[[VM, VCPU, Callable[[], bool]], str]


def find(machine: str) -> Guest:
    """Returns an architecture's guest.

    Args:
        machine: ``uname -m`` of the kernel that answers.
    """
    # Each is imported where it is needed: a machine needs one.
    if machine in ("x86_64", "i686"):
        from linux.kvm import guest_x86

        return guest_x86.run
    if machine == "aarch64":
        from linux.kvm import guest_arm64

        return guest_arm64.run
    if machine == "riscv64":
        from linux.kvm import guest_riscv64

        return guest_riscv64.run
    if machine in ("ppc64le", "ppc64"):
        from linux.kvm import guest_powerpc

        return guest_powerpc.run
    return _none


def _none(vm: VM, vcpu: VCPU, expired: Callable[[], bool]) -> str:  # noqa: ARG001
    raise NoGuestError(f"there is no guest for {vm.requests.machine}")
