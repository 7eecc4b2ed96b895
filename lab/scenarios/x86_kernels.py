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
    ONE_FLAG,
    REGISTERED,
    SECOND_WITHOUT,
    SVM,
    SVM_OFF,
    SVME,
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
        "stale",
        fails("StaleDevice", "open ENODEV", FLAG, UNREGISTERED),
        *LOADED,
        "rmmod kvm_amd",
        "mknod /dev/kvm c 10 232",
    )


_BUSY = (
    Scenario(
        "x86/bullseye/busy",
        BULLSEYE,
        fails("HypervisorBusy", "KVM_CREATE_VM EBUSY", FLAG, REGISTERED),
        SVM,
        setup=(*LOADED, *SVME),
        order=3,
    ),
    # Since Linux 6.12 KVM takes the extension when its module is loaded, bar kvm.enable_virt_at_load=0.
    *(
        scenario
        for kernel in (TRIXIE, FORKY)
        for scenario in (
            Scenario(
                f"x86/{kernel.suite}/busy-at-load",
                kernel,
                fails("HypervisorBusy", ABSENT, FLAG, NOT_LOADABLE, mentions=("another hypervisor",)),
                SVM,
                setup=(*DEVICES, *SVME, NOT_LOADABLE),
                order=3,
            ),
            Scenario(
                f"x86/{kernel.suite}/busy",
                kernel,
                fails("CreateVMFailed", "KVM_CREATE_VM EIO", REGISTERED, mentions=("another hypervisor",)),
                SVM,
                "kvm.enable_virt_at_load=0",
                (*LOADED, *SVME),
                order=3,
            ),
            Scenario(
                f"x86/{kernel.suite}/cpus-differ",
                kernel,
                fails("ModuleNotLoaded", ABSENT, ONE_FLAG, NOT_LOADABLE, mentions=("1 of 2 CPUs",)),
                (*SVM, *SECOND_WITHOUT),
                setup=(*DEVICES, NOT_LOADABLE),
                order=3,
            ),
            Scenario(
                f"x86/{kernel.suite}/works-cpu-without-refused",
                kernel,
                runs(REGISTERED, "test $(cat /sys/devices/system/cpu/online) = 0"),
                (*SVM, *SECOND_WITHOUT),
                "maxcpus=1",
                (*LOADED, "! echo 1 > /sys/devices/system/cpu/cpu1/online"),
                order=3,
            ),
        )
    ),
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
    *_BUSY,
    *_UNSIGNED,
    *_FIRMWARE,
)
