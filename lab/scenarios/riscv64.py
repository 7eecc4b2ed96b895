"""riscv64: the hypervisor extension, and KVM as a module. QEMU emulates the extension whole."""

from lab.architecture import RISCV64, Kernel
from lab.scenario import Scenario, Truth
from lab.shared import ABSENT, DEVICES, REGISTERED, UNREGISTERED, fails, runs

FORKY, TRIXIE = (Kernel(RISCV64, suite, "linux-image-riscv64") for suite in ("forky", "trixie"))

H, NO_H = ("-cpu", "rv64,h=true"), ("-cpu", "rv64,h=false")

LOADED = (*DEVICES, "modprobe kvm")
FLAG = "grep -qE '^(hart )?isa[[:space:]]*: rv64[a-z]*h' /proc/cpuinfo"
NO_FLAG = f"! {FLAG}"


def _machine(
    name: str,
    truth: Truth,
    *setup: str,
    machine: tuple[str, ...] = H,
    kernel: Kernel = FORKY,
    cmdline: str = "",
    order: int = 2,
    tree: str = "",
) -> Scenario:
    return Scenario(f"riscv64/{name}", kernel, truth, machine, cmdline, setup, order=order, tree=tree)


SCENARIOS = (
    _machine("works", runs(FLAG, CPU="Pass FlagPresent"), *LOADED, order=0),
    _machine("works-two-cpus", runs("test $(nproc) = 2"), *LOADED, machine=(*H, "-smp", "2")),
    _machine("works-6.12", runs(FLAG), *LOADED, kernel=TRIXIE),
    _machine(
        "not-loaded",
        fails("ModuleNotLoaded", ABSENT, FLAG, UNREGISTERED, "modprobe kvm", mentions=("modprobe kvm",)),
        *DEVICES,
        order=0,
        tree="lab-riscv64-not-loaded",
    ),
    _machine(
        "no-extension",
        fails("NestedNotExposed", ABSENT, NO_FLAG, "! modprobe kvm", mentions=("KVM/QEMU",)),
        *DEVICES,
        machine=NO_H,
        order=0,
        tree="lab-riscv64-no-extension",
    ),
    _machine(
        "no-extension-tried",
        fails("NestedNotExposed", ABSENT, NO_FLAG, "dmesg | grep -q 'extension not available'"),
        *DEVICES,
        "! modprobe kvm",
        machine=NO_H,
    ),
    _machine(
        "blacklisted",
        fails("ModuleBlacklisted", ABSENT, FLAG, UNREGISTERED, mentions=("/etc/modprobe.d/kvm.conf",)),
        *DEVICES,
        "echo blacklist kvm > /etc/modprobe.d/kvm.conf",
        order=1,
    ),
    _machine(
        "install-false",
        fails("ModuleBlacklisted", ABSENT, FLAG, "! modprobe kvm", mentions=("install kvm /bin/false",)),
        *DEVICES,
        "echo install kvm /bin/false > /etc/modprobe.d/kvm.conf",
    ),
    _machine(
        "module-blacklist",
        fails("ModuleBlacklisted", ABSENT, FLAG, "! modprobe kvm", mentions=("module_blacklist=kvm",)),
        *DEVICES,
        cmdline="module_blacklist=kvm",
    ),
    _machine(
        "initcall-blacklist",
        fails(
            "DisabledByKernelParameter",
            ABSENT,
            FLAG,
            "! modprobe kvm || ! grep -qw kvm /proc/misc",
            mentions=("initcall_blacklist=riscv_kvm_init",),
        ),
        *DEVICES,
        cmdline="initcall_blacklist=riscv_kvm_init",
    ),
    _machine(
        "missing",
        fails("ModuleMissing", ABSENT, FLAG, "! modprobe kvm"),
        *DEVICES,
        "rm /lib/modules/*/kernel/arch/riscv/kvm/kvm.ko*",
        "depmod",
    ),
    _machine("device-missing", fails("DeviceMissing", ABSENT, REGISTERED), *LOADED, "rm /dev/kvm"),
)
