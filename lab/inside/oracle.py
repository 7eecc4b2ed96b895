"""Says whether a guest runs here, or which call failed and how: one line, such as ``open ENOENT``.

It shares no code with the checks that it is the measure of: numbers are written down anew from the kernel's
``include/uapi/linux/kvm.h`` and ``Documentation/virt/kvm/api.rst``.
"""

import errno
import fcntl
import os
from importlib import import_module

GUESTS = {
    "x86_64": "lab.inside.oracle_x86",
    "aarch64": "lab.inside.oracle_arm64",
    "riscv64": "lab.inside.oracle_riscv64",
    "ppc64le": "lab.inside.oracle_ppc64",
}
"""``uname -m`` to the module that runs a guest; elsewhere a vCPU is created."""

KVM_GET_API_VERSION, KVM_CREATE_VM, KVM_CREATE_VCPU = 0xAE00, 0xAE01, 0xAE41


class FailedError(Exception):
    """A call failed, or gave what it must not; the message is what the oracle says."""


def call(name: str, descriptor: int, request: int, argument: int | bytearray = 0) -> int:
    """Calls ioctl(2).

    Raises:
        FailedError: It failed.
    """
    try:
        return fcntl.ioctl(descriptor, request, argument)
    except OSError as error:
        raise FailedError(f"{name} {errno.errorcode.get(error.errno or 0, error.errno)}") from None


def main() -> None:
    """Prints what is."""
    try:
        print(look())
    except FailedError as error:
        print(error)


def look() -> str:
    """Opens the device and uses it.

    Raises:
        FailedError: A call failed.
    """
    machine = os.uname().machine
    # kernel: arch/powerpc/include/uapi/asm/ioctl.h: the direction has three bits, and *none* is 1.
    none = 1 << 29 if machine.startswith("ppc") else 0
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FailedError(f"open {errno.errorcode.get(error.errno or 0, error.errno)}") from None
    version = call("KVM_GET_API_VERSION", device, none | KVM_GET_API_VERSION)
    if version != 12:
        raise FailedError(f"KVM_GET_API_VERSION gives {version}")
    vm = call("KVM_CREATE_VM", device, none | KVM_CREATE_VM)
    vcpu = call("KVM_CREATE_VCPU", vm, none | KVM_CREATE_VCPU)
    if machine not in GUESTS:
        return "vCPU created"
    return str(import_module(GUESTS[machine]).run(device, vm, vcpu))
