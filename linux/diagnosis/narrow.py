"""Explains what a 32-bit process gets of a 64-bit kernel's KVM (kernel: virt/kvm/kvm_main.c, KVM_COMPAT)."""

import sys

from linux import lookup
from linux.diagnosis.cause import Cause, Explanation
from linux.reader import Reader

_REFUSING = ("aarch64", "s390x", "riscv64")
"""Kernels whose KVM takes calls of 64-bit processes only (virt/kvm/Kconfig: KVM_COMPAT)."""


def refused(reader: Reader) -> Explanation | None:
    """Explains ENODEV on opening, and older kernels' EINVAL on each ioctl; None where that is not why."""
    machine = lookup.architecture(reader, lookup.processors(reader))
    if sys.maxsize > 1 << 32 or machine not in _REFUSING:
        return None
    return Explanation(
        Cause.UNSUPPORTED,
        f"this process is a 32-bit program, and KVM of this kernel ({machine}) serves 64-bit programs only",
        f"run it with a Python of {machine}: file -L {sys.executable} must say 64-bit",
    )
