"""ppc64le: bare metal (PowerNV), and a partition (pSeries) whose hypervisor offers nesting, or does not.

QEMU emulates all three whole. The module kvm brings ``/dev/kvm``; VMs are made by kvm_hv, which in a
partition asks the hypervisor.
"""

from lab.architecture import POWERNV, PPC64LE, Kernel
from lab.scenario import Scenario, Truth
from lab.shared import ABSENT, DEVICES, REGISTERED, fails, runs

BOOKWORM, TRIXIE, FORKY = (
    Kernel(PPC64LE, suite, "linux-image-powerpc64le") for suite in ("bookworm", "trixie", "forky")
)

_PARTITION = "pseries,cap-ccf-assist=off"
NESTING = ("-machine", f"{_PARTITION},cap-nested-hv=true", "-cpu", "POWER9")
NO_NESTING, HASH = (("-machine", _PARTITION, "-cpu", cpu) for cpu in ("POWER9", "POWER8"))
ON_METAL = Kernel(POWERNV, "bookworm", "linux-image-powerpc64le")
METAL = ("-machine", "powernv9", "-cpu", "POWER9")

LOADED = (*DEVICES, "modprobe kvm_hv")
REFUSED = "KVM_CREATE_VM EINVAL"
PARTITION = "grep -q pSeries /proc/cpuinfo"
LOADABLE, NOT_LOADABLE = "modprobe kvm_hv", "! modprobe kvm_hv"


def _machine(
    name: str,
    truth: Truth,
    *setup: str,
    machine: tuple[str, ...] = NESTING,
    kernel: Kernel = BOOKWORM,
    cmdline: str = "",
    order: int = 2,
    tree: str = "",
) -> Scenario:
    return Scenario(
        f"{kernel.architecture.name}/{name}", kernel, truth, machine, cmdline, setup, order=order, tree=tree
    )


SCENARIOS = (
    _machine("works", runs(PARTITION, "grep -q Radix /proc/cpuinfo"), *LOADED, order=0),
    _machine(
        "works", runs("grep -q PowerNV /proc/cpuinfo"), *LOADED, machine=METAL, kernel=ON_METAL, order=1
    ),
    _machine(
        "kvm-alone",
        fails("ModuleNotLoaded", REFUSED, "grep -q PowerNV /proc/cpuinfo", LOADABLE),
        *DEVICES,
        "modprobe kvm",
        machine=METAL,
        kernel=ON_METAL,
    ),
    _machine("works-two-cpus", runs("test $(nproc) = 2"), *LOADED, machine=(*NESTING, "-smp", "2")),
    _machine("works-6.12", runs(PARTITION), *LOADED, kernel=TRIXIE),
    _machine("works-newest", runs(PARTITION), *LOADED, kernel=FORKY),
    _machine(
        "no-nesting",
        fails(
            "NestedNotExposed",
            REFUSED,
            PARTITION,
            "dmesg | grep -q 'Parent hypervisor does not support nesting'",
            mentions=("does not support nesting", "cap-nested-hv"),
        ),
        *DEVICES,
        "! modprobe kvm_hv",
        machine=NO_NESTING,
        order=0,
        tree="lab-ppc64le-no-nesting",
    ),
    _machine(
        "no-nesting-hash",
        fails("NestedNotExposed", REFUSED, "grep -q 'MMU.*Hash' /proc/cpuinfo", mentions=("hash",)),
        *DEVICES,
        "! modprobe kvm_hv",
        machine=HASH,
    ),
    _machine(
        "not-loaded",
        fails("ModuleNotLoaded", ABSENT, LOADABLE, mentions=("modprobe kvm_hv",)),
        *DEVICES,
        order=0,
        tree="lab-ppc64le-not-loaded",
    ),
    _machine(
        "kvm-alone",
        fails("ModuleNotLoaded", REFUSED, LOADABLE, mentions=("modprobe kvm_hv",)),
        *DEVICES,
        "modprobe kvm",
        order=1,
    ),
    _machine(
        "blacklisted",
        fails("ModuleBlacklisted", ABSENT, mentions=("/etc/modprobe.d/kvm.conf", "blacklist kvm_hv")),
        *DEVICES,
        "echo blacklist kvm_hv > /etc/modprobe.d/kvm.conf",
    ),
    _machine(
        "kvm-alone-blacklisted",
        fails("ModuleBlacklisted", REFUSED, NOT_LOADABLE, mentions=("install kvm_hv /bin/false",)),
        *DEVICES,
        "modprobe kvm",
        "echo install kvm_hv /bin/false > /etc/modprobe.d/kvm.conf",
    ),
    _machine(
        "missing",
        fails("ModuleMissing", ABSENT, NOT_LOADABLE, mentions=("kvm_hv",)),
        *DEVICES,
        "rm /lib/modules/*/kernel/arch/powerpc/kvm/kvm-hv.ko*",
        "depmod",
    ),
    _machine("device-missing", fails("DeviceMissing", ABSENT, REGISTERED), *LOADED, "rm /dev/kvm"),
)
