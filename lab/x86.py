"""What the scenarios of x86-64 share."""

from lab.architecture import X86, Kernel
from lab.scenario import SEEN_GUEST, Scenario, Truth

BULLSEYE, BOOKWORM, TRIXIE, FORKY = (
    Kernel(X86, suite, "linux-image-cloud-amd64") for suite in ("bullseye", "bookworm", "trixie", "forky")
)

DEVICES = ("modprobe tun", "modprobe vhost_net")
"""What a node has loaded beside KVM."""

LOADED = (*DEVICES, "modprobe kvm_amd")

SVM, NO_SVM = ("-cpu", "max"), ("-cpu", "max,-svm")
METAL, NO_SVM_METAL = ("-cpu", "max,-hypervisor"), ("-cpu", "max,-svm,-hypervisor")

FLAG, NO_FLAG = "grep -qw svm /proc/cpuinfo", "! grep -qw svm /proc/cpuinfo"
REGISTERED, UNREGISTERED = "grep -qw kvm /proc/misc", "! grep -qw kvm /proc/misc"
IS_VM, IS_METAL = "grep -qw hypervisor /proc/cpuinfo", "! grep -qw hypervisor /proc/cpuinfo"
LOADABLE = "modprobe kvm_amd && rmmod kvm_amd kvm"
NOT_LOADABLE = "! modprobe kvm_amd"

SVM_OFF = ("/lab/modfile kvm_amd replace bf140101c0 bf74010000", "/lab/modfile kvm_amd unsign")
"""Firmware that switched SVM off, until Linux 6.11, where the core kernel looks before the module does.

QEMU has no VM_CR.SVMDIS (MSR 0xC0010114, bit 4): the module is made to read SYSENTER_CS (0x174) in its place,
which the kernel sets to its code segment, 0x10.
"""

USER = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")
MEMBER = ("setpriv", "--reuid=1000", "--regid=1000", "--groups=104")
"""An ordinary user, and one of the group kvm (`lab.image` writes the machine's users)."""

UDEV = ("chgrp kvm /dev/kvm", "chmod 660 /dev/kvm", "chmod 666 /dev/net/tun /dev/vhost-net")
"""What udev's rules do to the devices (50-udev-default.rules)."""


SECOND = ("-smp", "1,maxcpus=2,sockets=2,cores=1,threads=1")
SECOND_WITHOUT = (*SECOND, "-device", "max-x86_64-cpu,socket-id=1,core-id=0,thread-id=0,svm=off")
"""A second CPU, and one without SVM."""

ONE_FLAG = "test $(grep -cw svm /proc/cpuinfo) = 1 && test $(grep -c ^flags /proc/cpuinfo) = 2"

SVME = ("modprobe msr", "/lab/msr 0 0xC0000080 12")
"""Sets EFER.SVME, as a hypervisor does that has taken the CPU's extension for itself."""


def smbios(vendor: str, product: str, *more: str) -> tuple[str, ...]:
    """Returns QEMU's options for the look of a machine of a vendor."""
    return ("-smbios", f"type=1,manufacturer={vendor},product={product}", *more)


def runs(*facts: str, **others: str) -> Truth:
    """A guest runs; other checks' status and reason by name."""
    return Truth("Pass", "GuestRan", SEEN_GUEST, facts=facts, others=others)


def fails(reason: str, oracle: str, *facts: str, mentions: tuple[str, ...] = ()) -> Truth:
    """No guest runs."""
    return Truth("Fail", reason, oracle, facts=facts, mentions=mentions)


def unclear(reason: str, oracle: str, *facts: str, mentions: tuple[str, ...] = ()) -> Truth:
    """Whether a guest runs cannot be told by who asks."""
    return Truth("Unknown", reason, oracle, facts=facts, mentions=mentions)


def svm(
    name: str, truth: Truth, *setup: str, user: tuple[str, ...] = (), order: int = 2, tree: str = ""
) -> Scenario:
    """A machine with SVM and a kernel of bookworm."""
    return Scenario(f"x86/{name}", BOOKWORM, truth, SVM, setup=setup, user=user, order=order, tree=tree)
