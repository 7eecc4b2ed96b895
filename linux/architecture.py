"""What virtualisation is called on each architecture: the CPU's flag and the kernel's module."""

from typing import NamedTuple


class Architecture(NamedTuple):
    """How KVM looks on one architecture.

    Attributes:
        flags: Names in ``/proc/cpuinfo`` that say that the CPU can; empty where there is no such flag.
        modules: Kernel module that registers KVM, by flag; the key is empty where it does not depend on one;
            none where KVM is always built in.
        feature: What the CPU's ability is called, for a person.
    """

    flags: tuple[str, ...]
    modules: dict[str, str]
    feature: str


X86 = ("x86_64", "i686")

_POWER = Architecture((), {"": "kvm_hv"}, "hypervisor mode (HV)")
_X86 = Architecture(("vmx", "svm"), {"vmx": "kvm_intel", "svm": "kvm_amd"}, "Intel VT-x (vmx) or AMD-V (svm)")

ARCHITECTURES = {
    "x86_64": _X86,
    "i686": _X86,
    "aarch64": Architecture((), {}, "the virtualization extension (EL2)"),
    "s390x": Architecture(("sie",), {"sie": "kvm", "": "kvm"}, "the SIE instruction (sie)"),
    "ppc64le": _POWER,
    "ppc64": _POWER,
    "riscv64": Architecture(("h",), {"h": "kvm", "": "kvm"}, "the hypervisor extension (h)"),
    "loongarch64": Architecture(("lvz",), {"lvz": "kvm", "": "kvm"}, "the LVZ extension (lvz)"),
}
"""By ``uname -m``; what is not here is not known to us."""
