"""What the scenarios of x86-64 share."""

from lab.architecture import X86, Kernel
from lab.scenario import Scenario, Truth
from lab.shared import DEVICES as DEVICES
from lab.shared import REGISTERED as REGISTERED
from lab.shared import UNREGISTERED as UNREGISTERED
from lab.shared import USER as USER
from lab.shared import fails as fails
from lab.shared import runs as runs
from lab.shared import unclear as unclear

BULLSEYE, BOOKWORM, TRIXIE, FORKY = (
    Kernel(X86, suite, "linux-image-cloud-amd64") for suite in ("bullseye", "bookworm", "trixie", "forky")
)

LOADED = (*DEVICES, "modprobe kvm_amd")

SVM, NO_SVM = ("-cpu", "max"), ("-cpu", "max,-svm")
METAL, NO_SVM_METAL = ("-cpu", "max,-hypervisor"), ("-cpu", "max,-svm,-hypervisor")

FLAG, NO_FLAG = "grep -qw svm /proc/cpuinfo", "! grep -qw svm /proc/cpuinfo"
IS_VM, IS_METAL = "grep -qw hypervisor /proc/cpuinfo", "! grep -qw hypervisor /proc/cpuinfo"
LOADABLE = "modprobe kvm_amd && rmmod kvm_amd kvm"
NOT_LOADABLE = "! modprobe kvm_amd"

SVM_OFF = ("/lab/modfile kvm_amd replace bf140101c0 bf74010000", "/lab/modfile kvm_amd unsign")
"""Firmware that switched SVM off, until Linux 6.11, where the core kernel looks before the module does.

QEMU has no VM_CR.SVMDIS (MSR 0xC0010114, bit 4): the module is made to read SYSENTER_CS (0x174) in its place,
which the kernel sets to its code segment, 0x10.
"""

MEMBER = ("setpriv", "--reuid=1000", "--regid=1000", "--groups=104")
"""One of the group kvm (`lab.image` writes the machine's users)."""

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


def svm(
    name: str, truth: Truth, *setup: str, user: tuple[str, ...] = (), order: int = 2, tree: str = ""
) -> Scenario:
    """A machine with SVM and a kernel of bookworm."""
    return Scenario(f"x86/{name}", BOOKWORM, truth, SVM, setup=setup, user=user, order=order, tree=tree)
