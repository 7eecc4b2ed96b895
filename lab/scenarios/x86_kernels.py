"""x86-64: what other kernels than bookworm's say and do: 5.10, 6.12 and the newest."""

from collections.abc import Iterator

from lab.architecture import Kernel
from lab.scenario import Scenario, Truth
from lab.x86 import (
    BULLSEYE,
    DEVICES,
    FLAG,
    FORKY,
    IS_METAL,
    LOADABLE,
    LOADED,
    NO_FLAG,
    NO_SVM,
    NO_SVM_METAL,
    NOT_LOADABLE,
    REGISTERED,
    SVM,
    SVM_OFF,
    TRIXIE,
    UNREGISTERED,
    fails,
    runs,
    smbios,
)

ABSENT = "open ENOENT"


def _everywhere(kernel: Kernel) -> Iterator[Scenario]:
    def one(
        name: str,
        truth: Truth,
        *setup: str,
        machine: tuple[str, ...] = SVM,
        cmdline: str = "",
        order: int = 3,
        tree: str = "",
    ) -> Scenario:
        name = f"x86/{kernel.suite}/{name}"
        return Scenario(name, kernel, truth, machine, cmdline, setup, order=order, tree=tree)

    yield one("works", runs(FLAG, REGISTERED), *LOADED, order=1, tree=f"lab-works-{kernel.suite}")
    yield one("nested-qemu", fails("NestedNotExposed", ABSENT, NO_FLAG), *DEVICES, machine=NO_SVM)
    yield one(
        "none-metal",
        fails("NoVirtualization", ABSENT, NO_FLAG, IS_METAL),
        *DEVICES,
        machine=(*NO_SVM_METAL, *smbios("Dell Inc.", "PowerEdge R7525")),
    )
    yield one("not-loaded", fails("ModuleNotLoaded", ABSENT, FLAG, UNREGISTERED, LOADABLE), *DEVICES, order=1)
    yield one(
        "blacklisted",
        fails("ModuleBlacklisted", ABSENT, FLAG, UNREGISTERED, mentions=("/etc/modprobe.d/kvm.conf",)),
        *DEVICES,
        "echo blacklist kvm_amd > /etc/modprobe.d/kvm.conf",
    )
    yield one(
        "cmdline-module-blacklist",
        fails("ModuleBlacklisted", ABSENT, FLAG, NOT_LOADABLE),
        *DEVICES,
        cmdline="module_blacklist=kvm_amd",
    )
    yield one(
        "missing",
        fails("ModuleMissing", ABSENT, FLAG, NOT_LOADABLE),
        *DEVICES,
        "rm /lib/modules/*/kernel/arch/x86/kvm/kvm-amd.ko*",
        "depmod",
    )
    yield one(
        "clearcpuid",
        fails("DisabledByKernelParameter", ABSENT, NO_FLAG, mentions=("clearcpuid=194",)),
        *DEVICES,
        cmdline="clearcpuid=194",
    )
    yield one(
        "busy",
        fails("HypervisorBusy", "KVM_CREATE_VM EBUSY", FLAG, REGISTERED),
        *LOADED,
        "modprobe msr",
        "/lab/msr 0 0xC0000080 12",
    )
    yield one(
        "stale",
        fails("StaleDevice", "open ENODEV", FLAG, UNREGISTERED),
        *LOADED,
        "rmmod kvm_amd",
        "mknod /dev/kvm c 10 232",
    )


_UNSIGNED = tuple(
    Scenario(
        f"x86/{kernel.suite}/unsigned",
        kernel,
        fails("ModuleNotLoaded", ABSENT, FLAG, NOT_LOADABLE, mentions=("signed",)),
        SVM,
        "module.sig_enforce=1",
        (*DEVICES, "/lab/modfile kvm_amd unsign", "! modprobe kvm_amd"),
        order=3,
    )
    for kernel in (BULLSEYE, TRIXIE)
)

_FIRMWARE = (
    Scenario(
        "x86/bullseye/firmware-off",
        BULLSEYE,
        fails("DisabledByFirmware", ABSENT, FLAG, NOT_LOADABLE, UNREGISTERED),
        SVM,
        setup=(*DEVICES, *SVM_OFF, "! modprobe kvm_amd"),
        order=3,
        tree="lab-firmware-off-bullseye",
    ),
)

SCENARIOS = (
    *(scenario for kernel in (BULLSEYE, TRIXIE, FORKY) for scenario in _everywhere(kernel)),
    *_UNSIGNED,
    *_FIRMWARE,
)
