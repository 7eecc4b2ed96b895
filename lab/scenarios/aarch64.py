"""aarch64: exception levels, modes of KVM, interrupt controllers, sizes of pages.

QEMU emulates EL2 whole. KVM is built into these kernels.
"""

from lab.architecture import ARM64, Kernel
from lab.scenario import Scenario, Truth
from lab.shared import ABSENT, DEVICES, REGISTERED, USER, fails, runs, unclear

BULLSEYE, BOOKWORM, TRIXIE, FORKY = (
    Kernel(ARM64, suite, "linux-image-cloud-arm64") for suite in ("bullseye", "bookworm", "trixie", "forky")
)
PAGES_OF_16K = Kernel(ARM64, "trixie", "linux-image-arm64-16k")

EL2 = ("-machine", "virtualization=on,gic-version=3")
NVHE, VHE = (*EL2, "-cpu", "cortex-a72"), (*EL2, "-cpu", "max,pauth-impdef=on")
EL1 = ("-machine", "gic-version=3", "-cpu", "cortex-a72")

AT_EL2, AT_EL1 = (f"dmesg | grep -q 'started at EL{level}'" for level in (2, 1))


def _machine(
    name: str,
    truth: Truth,
    *setup: str,
    machine: tuple[str, ...] = NVHE,
    kernel: Kernel = BOOKWORM,
    cmdline: str = "",
    user: tuple[str, ...] = (),
    order: int = 2,
    tree: str = "",
) -> Scenario:
    return Scenario(
        f"aarch64/{name}",
        kernel,
        truth,
        machine,
        cmdline,
        (*DEVICES, *setup),
        user=user,
        order=order,
        tree=tree,
    )


def _says(words: str) -> str:
    return f"dmesg | grep -q '{words}'"


SCENARIOS = (
    _machine(
        "works",
        runs(AT_EL2, _says("Hyp mode initialized"), CPU="Skip NotApplicable"),
        order=0,
        tree="lab-arm64",
    ),
    _machine("works-vhe", runs(AT_EL2, _says("VHE mode initialized")), machine=VHE, order=1),
    _machine(
        "works-gicv2",
        runs(AT_EL2, "! dmesg | grep -q GICv3"),
        machine=("-machine", "virtualization=on,gic-version=2", "-cpu", "cortex-a72"),
        order=1,
    ),
    _machine(
        "works-protected",
        runs(_says("Protected nVHE mode initialized")),
        cmdline="kvm-arm.mode=protected",
        order=1,
    ),
    _machine(
        "works-protected-on-vhe",
        runs(_says("Protected nVHE mode initialized")),
        machine=VHE,
        cmdline="kvm-arm.mode=protected",
    ),
    _machine(
        "works-nvhe-on-vhe",
        runs("dmesg | grep -q 'Hyp mode initialized'"),
        machine=VHE,
        cmdline="kvm-arm.mode=nvhe",
    ),
    _machine("works-two-cpus", runs("test $(nproc) = 2"), machine=(*NVHE, "-smp", "2")),
    _machine("works-5.10", runs(AT_EL2, _says("VHE mode initialized")), machine=VHE, kernel=BULLSEYE),
    _machine("works-5.10-nvhe", runs(AT_EL2, _says("Hyp mode initialized")), kernel=BULLSEYE),
    _machine("el1-5.10", fails("NestedNotExposed", ABSENT, AT_EL1), machine=EL1, kernel=BULLSEYE),
    _machine("works-6.12", runs(_says("VHE mode initialized")), machine=VHE, kernel=TRIXIE),
    _machine(
        "works-6.12-protected",
        runs(_says("rotected .*mode initialized")),
        machine=VHE,
        kernel=TRIXIE,
        cmdline="kvm-arm.mode=protected",
    ),
    _machine("works-newest", runs(AT_EL2), machine=VHE, kernel=FORKY),
    _machine("works-newest-nvhe", runs(_says("Hyp nVHE mode initialized")), kernel=FORKY),
    _machine(
        "works-16k-pages",
        runs("test $(python3 -c 'import mmap; print(mmap.PAGESIZE)') = 16384"),
        machine=VHE,
        kernel=PAGES_OF_16K,
        order=1,
    ),
    _machine(
        "el1",
        fails("NestedNotExposed", ABSENT, AT_EL1, mentions=("KVM/QEMU", "EL1")),
        machine=EL1,
        order=0,
        tree="lab-arm64-el1",
    ),
    _machine(
        "el1-log-cleared",
        fails("NestedNotExposed", ABSENT, mentions=("KVM/QEMU",)),
        "dmesg -c > /dev/null",
        machine=EL1,
    ),
    _machine("el1-newest", fails("NestedNotExposed", ABSENT, AT_EL1), machine=EL1, kernel=FORKY),
    _machine(
        "mode-none",
        fails("DisabledByKernelParameter", ABSENT, AT_EL2, mentions=("kvm-arm.mode=none",)),
        cmdline="kvm-arm.mode=none",
        order=0,
        tree="lab-arm64-mode-none",
    ),
    _machine(
        "mode-none-and-el1",
        fails("NestedNotExposed", ABSENT, AT_EL1, mentions=("EL1",)),
        machine=EL1,
        cmdline="kvm-arm.mode=none",
    ),
    _machine(
        "mode-none-overridden",
        runs(AT_EL2),
        cmdline="kvm-arm.mode=none kvm-arm.mode=nvhe",
    ),
    _machine(
        "initcall-blacklist",
        fails("DisabledByKernelParameter", ABSENT, AT_EL2, mentions=("initcall_blacklist=arm_init",)),
        cmdline="initcall_blacklist=arm_init",
    ),
    _machine(
        "initcall-blacklist-6.12",
        fails("DisabledByKernelParameter", ABSENT, AT_EL2, mentions=("initcall_blacklist=kvm_arm_init",)),
        kernel=TRIXIE,
        cmdline="initcall_blacklist=kvm_arm_init",
    ),
    _machine(
        "device-missing",
        fails("DeviceMissing", ABSENT, REGISTERED),
        "rm /dev/kvm",
        order=1,
    ),
    _machine(
        "stale",
        fails("DisabledByKernelParameter", "open ENODEV", AT_EL2),
        "mknod /dev/kvm c 10 232",
        cmdline="kvm-arm.mode=none",
    ),
    _machine(
        "user",
        unclear("PermissionDenied", "open EACCES", "test $(stat -c %a /dev/kvm) = 600"),
        user=USER,
    ),
)
