"""Explains why KVM is not there, from what a host tells: pure, and tested by tables.

The order is that of certainty: what the kernel or the configuration says outright, then what the CPU shows,
then what modules are there (`module_cause`). Nothing is guessed: where evidence cannot decide, the
explanation says so and names what to look at.
"""

from collections.abc import Mapping

from linux import hypervisor
from linux.architecture import ARCHITECTURES, X86, Architecture
from linux.diagnosis import module_cause
from linux.diagnosis.cause import Cause, Explanation, take_off
from linux.diagnosis.facts import AMD, DMI, Facts, complaint, log, to_see, unseen
from linux.hypervisor import Hypervisor
from linux.kernel_log import Topic, first

_HINTS = {
    "aarch64": "have firmware and boot loader start the kernel at EL2; to see: {0}",
    "s390x": "have SIE (start interpretive execution) enabled for this LPAR, or use another one; to see: {0}",
    "riscv64": "a CPU with the hypervisor extension is needed; to see: {0}",
    "loongarch64": "a CPU with the LVZ extension is needed, switched on in firmware; to see: {0}",
    "ppc64le": "a machine that runs in hypervisor mode (PowerNV) is needed, or nesting; to see: {0}",
}
"""What to look at where a CPU other than x86 seems not to be able."""

_LOOK_AT_CPUS = "head /proc/cpuinfo; in a container, mount the host's /proc"

_CLEARCPUID = {"vmx": "133", "svm": "194"}
"""Numbers that ``clearcpuid=`` takes for a flag (kernel: arch/x86/include/asm/cpufeatures.h)."""


def explain(facts: Facts) -> Explanation:
    """Explains why KVM is not registered with the kernel of a host."""
    architecture = ARCHITECTURES.get(facts.architecture)
    if architecture is None:
        name = facts.architecture or "one that /proc/cpuinfo does not tell"
        return Explanation(
            Cause.UNSUPPORTED,
            f"the architecture is {name}",
            None if facts.architecture else _LOOK_AT_CPUS,
            evidence={"architecture": facts.architecture or "?"},
        )
    if facts.confidential.where:
        return Explanation(
            Cause.CONFIDENTIAL_GUEST,
            str(facts.confidential),
            None
            if facts.architecture in X86
            else "run this node outside of it: confidential guests cannot nest",
            evidence={facts.confidential.where: facts.confidential.what},
        )
    outright = _said_outright(facts)
    if outright is not None:
        return outright
    if not architecture.flags:
        return _without_flags_to_see(facts, architecture)
    if not facts.cpu.flags:
        return Explanation(
            Cause.UNSUPPORTED,
            f"/proc/cpuinfo shows no CPU, so whether one has {architecture.feature} cannot be seen",
            _LOOK_AT_CPUS,
            evidence={"/proc/cpuinfo": "no CPU"},
        )
    if not facts.cpu.cpus_with(*architecture.flags):
        return _without_flag(facts, architecture)
    # Older kernels show the flag although firmware switched the extension off (cpu/feat_ctl.c, cpu/amd.c).
    if facts.firmware.where:
        return _firmware(facts, str(facts.firmware), {facts.firmware.where: facts.firmware.what})
    return module_cause.explain(facts, module_cause.module_of(facts, architecture))


def _said_outright(facts: Facts) -> Explanation | None:
    """What the kernel's log or its command line says in so many words."""
    words = first(facts.log, Topic.PARAMETER)
    off = facts.architecture == "aarch64" and facts.parameters.last("kvm-arm.mode") == "none"
    # The kernel looks for EL2 first: without it, taking the parameter off would change nothing.
    if (off or words) and not first(facts.log, Topic.NO_HYPERVISOR_MODE):
        return Explanation(
            Cause.DISABLED_BY_KERNEL_PARAMETER,
            "the kernel command line has kvm-arm.mode=none",
            take_off("kvm-arm.mode=none"),
            evidence=log(facts, words) if words else {"/proc/cmdline": "kvm-arm.mode=none"},
        )
    hidden = _hidden_by_clearcpuid(facts)
    if hidden is not None:
        return hidden
    words = first(facts.log, Topic.FIRMWARE)
    if words:
        return _firmware(facts, f"the kernel log says: {words}", log(facts, words))
    words = first(facts.log, Topic.NO_NESTING)
    if words:
        outer = facts.hypervisor or hypervisor.POWER
        return Explanation(
            Cause.NESTED_NOT_EXPOSED,
            f"the kernel log says: {words}",
            outer.hint_on(facts.architecture),
            evidence=log(facts, words),
        )
    return None


def _firmware(facts: Facts, because: str, evidence: Mapping[str, str]) -> Explanation:
    """Firmware switched the extension off; that of a VM is its hypervisor's."""
    outer, hint = _outer(facts), None
    if facts.cpu.has("hypervisor") and outer is not None:
        hint = f"this is a VM: its firmware is {outer.name}'s; {outer.hint_on(facts.architecture)}"
    elif "inside txt" in because.lower():
        hint = (
            "systemctl reboot --firmware-setup; there allow VT-x inside of TXT (SMX), or boot without tboot; "
            "then power off completely and on again"
        )
    return Explanation(Cause.DISABLED_BY_FIRMWARE, because, hint, evidence=evidence)


def _hidden_by_clearcpuid(facts: Facts) -> Explanation | None:
    """The kernel took the flag off itself, because it was told to."""
    flag = _own_flag(facts)
    if facts.architecture not in X86 or facts.cpu.has(flag):
        return None
    if facts.raw is not None and flag not in facts.raw.flags:
        return None  # the CPU does not have it either
    # The last one counts (kernel: arch/x86/lib/cmdline.c, cmdline_find_option).
    words = (facts.parameters.last("clearcpuid") or "").split(",")
    cleared = next((word for word in (flag, _CLEARCPUID[flag]) if word in words), "")
    cleared_by_log = flag in first(facts.log, Topic.CLEARED).split()
    if not cleared and not cleared_by_log:
        return None
    parameter = f"clearcpuid={cleared or flag}"
    return Explanation(
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        f"the kernel command line has {parameter}, which hides the flag {flag}",
        take_off(parameter),
        ask_cpu=not facts.asked,
        evidence={"/proc/cmdline": parameter} if cleared else log(facts, first(facts.log, Topic.CLEARED)),
    )


def _own_flag(facts: Facts) -> str:
    return "svm" if facts.cpu.vendor in AMD else "vmx"


def _outer(facts: Facts) -> Hypervisor | None:
    """The hypervisor that the machine runs under, as far as its files or the CPU name it."""
    if facts.hypervisor is None and facts.raw is not None:
        return hypervisor.by_signature(facts.raw.hypervisor)
    return facts.hypervisor


def _nested(facts: Facts, none: str) -> Explanation | None:
    """The machine is a VM, and its hypervisor keeps virtualization to itself.

    Every hypervisor for x86 tells by a bit of CPUID that it is one; without that bit, the name of a cloud is
    that of its bare metal. On other architectures there is no such bit, but only a VM lacks the extension.
    Where the log still has the start, it would have told of a firmware that switched the extension off.
    """
    outer = _outer(facts)
    told = facts.cpu.has("hypervisor") or (facts.raw is not None and "hypervisor" in facts.raw.flags)
    named = outer is not None and (outer.certain or facts.architecture not in X86)
    if not told and not named:
        return None
    outer = outer or hypervisor.OTHER
    return Explanation(
        Cause.NESTED_NOT_EXPOSED,
        f"{none}; this machine is a VM under {outer.name}, which does not pass virtualization through",
        outer.hint_on(facts.architecture),
        ask_cpu=facts.architecture in X86 and not facts.asked and not first(facts.log, Topic.HYPERVISOR),
        evidence={"hypervisor": outer.name, **_product(facts)},
    )


def _without_flag(facts: Facts, architecture: Architecture) -> Explanation:
    count = len(facts.cpu.flags)
    none = f"none of {count} CPUs in /proc/cpuinfo has {architecture.feature}"
    evidence = {"/proc/cpuinfo": f"0 of {count} CPUs"}
    if facts.architecture in X86:
        if facts.modules.can_be_had("kvm_pvm"):  # it needs no flag
            return module_cause.explain(facts, "kvm_pvm")
        switched_off = _switched_off(facts)
        if switched_off is not None:
            return switched_off
    nested = _nested(facts, none)
    if nested is not None:
        return nested._replace(evidence={**evidence, **nested.evidence})
    words = first(facts.log, Topic.NO_HYPERVISOR_MODE) or complaint(
        facts, module_cause.module_of(facts, architecture)
    )
    reported = f"; the kernel log says: {words}" if words else unseen(facts)
    return Explanation(
        Cause.NO_VIRTUALIZATION,
        f"{none}{_asked(facts)}; whether {_lacking(facts)} it or firmware hides it cannot be told apart"
        f"{reported}",
        _look(facts),
        ask_cpu=facts.architecture in X86 and not facts.asked,
        evidence={**evidence, **_product(facts), **log(facts, words)},
    )


def _product(facts: Facts) -> Mapping[str, str]:
    return {DMI: facts.product} if facts.product else {}


def _lacking(facts: Facts) -> str:
    if facts.architecture in X86 and len(facts.cpu.flags) > 1:
        return "the boot CPU, which decides for all, lacks"  # arch/x86/kernel/cpu/common.c
    return "the CPU lacks"


def _asked(facts: Facts) -> str:
    if facts.raw is not None:
        return ", nor does the CPU itself report it (raw CPUID)"
    return ", and the CPU itself could not be asked" if facts.asked else ""


def _look(facts: Facts) -> str | None:
    """What would tell more."""
    hint = _HINTS.get(facts.architecture)
    if hint:
        return hint.format(to_see(facts, "EL1|EL2|kvm|sie|lvz"))
    if facts.log_error:
        return (
            f"{to_see(facts, 'disabled by bios|vmx|svm')}; or: sudo vm-preflight run --only KVM; then look "
            "in firmware for Intel VT-x or AMD SVM: systemctl reboot --firmware-setup"
        )
    return None


def _switched_off(facts: Facts) -> Explanation | None:
    """The CPU has the extension, the kernel shows it nowhere: firmware, or the kernel itself.

    A kernel that was built without kvm_intel locks VMX off by itself where firmware left that open, and says
    nothing (arch/x86/kernel/cpu/feat_ctl.c): then neither CPUID nor register accuses the firmware.
    """
    flag = _own_flag(facts)
    module = "kvm_amd" if flag == "svm" else "kvm_intel"
    raw = facts.raw is not None and flag in facts.raw.flags
    register = bool(facts.firmware.where) and not facts.cpu.has("hypervisor")
    if not raw and not register:
        return None
    evidence = {"CPUID": flag} if raw else {facts.firmware.where: facts.firmware.what}
    told = f"the CPU itself reports {flag} (raw CPUID), the kernel does not" if raw else str(facts.firmware)
    if flag == "vmx" and facts.modules.can_be_had(module) is False:
        return Explanation(
            Cause.MODULE_MISSING,
            f"{told}; this kernel has no {module}, and such a one switches {flag} off by itself, so what "
            "firmware allows cannot be told",
            "install a kernel with KVM, reboot, and look again: dmesg | grep -iE 'vmx|kvm'",
            evidence=evidence,
        )
    return _firmware(facts, f"{told}: firmware switched it off" if raw else told, evidence)


def _without_radix(facts: Facts) -> Explanation:
    """A partition nests by the radix MMU only; kvm_hv is silent (arch/powerpc/kvm/book3s_hv_nested.c)."""
    if facts.modules.can_be_had("kvm_pr"):  # it needs no nesting
        return module_cause.explain(facts, "kvm_pr")
    return Explanation(
        Cause.NESTED_NOT_EXPOSED,
        f"the platform is {facts.cpu.platform}, a VM under {hypervisor.POWER.name}, and its MMU is the hash "
        "MMU: nesting needs the radix MMU",
        "a partition of POWER9 or newer, without disable_radix on the kernel command line, is needed; "
        f"{hypervisor.POWER.hint}",
        evidence={"/proc/cpuinfo": f"platform {facts.cpu.platform}, MMU {facts.cpu.mmu}"},
    )


def _without_flags_to_see(facts: Facts, architecture: Architecture) -> Explanation:
    """An architecture whose CPUs show no flag: the kernel's log tells, or the module."""
    words = first(facts.log, Topic.NO_HYPERVISOR_MODE)
    if facts.cpu.platform.startswith("pSeries") and facts.cpu.mmu == "Hash":
        return _without_radix(facts)
    if architecture.modules and not words:
        return module_cause.explain(facts, module_cause.module_of(facts, architecture))
    if not words:
        kept = module_cause.kept_from_starting(facts, "kvm")
        if kept is not None:
            return kept
        # What is built in and has parameters, as KVM does, stands in /sys/module (kernel: kernel/params.c).
        there = "kvm" in facts.modules.loaded or module_cause.is_built_in(facts, "kvm")
        if facts.modules.options.get("kvm") == "n" or (facts.modules.listed and not there):
            where = facts.modules.options_file or "/sys/module"
            return Explanation(
                Cause.MODULE_MISSING,
                f"this kernel was built without KVM: {where} does not show it",
                evidence={where: "no kvm"},
            )
        if complaint(facts, "kvm"):
            return module_cause.not_started(facts, "kvm", "built in")
    none = f"the kernel log says: {words}" if words else "KVM, a part of this kernel, did not start"
    nested = _nested(facts, none)
    if nested is not None:
        return nested._replace(evidence={**log(facts, words), **nested.evidence})
    return Explanation(
        Cause.NO_VIRTUALIZATION,
        f"{none}; whether the CPU lacks {architecture.feature} or firmware started the kernel without it "
        f"cannot be told apart{unseen(facts)}",
        _look(facts),
        evidence={**_product(facts), **(log(facts, words) or {"/proc/misc": "no kvm"})},
    )
