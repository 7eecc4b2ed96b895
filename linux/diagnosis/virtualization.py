"""Explains why KVM is not there, from what a host tells: pure, and tested by tables.

The order is that of certainty: what the kernel or the configuration says outright, then what the CPU shows,
then what modules are there (`module_cause`). Nothing is guessed: where evidence cannot decide, the
explanation says so and names what to look at.
"""

from linux import hypervisor
from linux.architecture import ARCHITECTURES, Architecture
from linux.diagnosis import module_cause
from linux.diagnosis.cause import Cause, Explanation, take_off, unseen
from linux.diagnosis.survey import Facts
from linux.kernel_log import Topic, first

_HINTS = {
    "aarch64": "dmesg | grep -iE 'EL1|EL2|kvm'; have firmware and boot loader start the kernel at EL2",
    "s390x": "have SIE (start interpretive execution) enabled for this LPAR, or use another one",
    "riscv64": "dmesg | grep -i kvm; a CPU with the hypervisor extension is needed",
}
"""What to look at where a CPU other than x86 seems not to be able."""

_CLEARCPUID = {"vmx": "133", "svm": "194"}
"""Numbers that ``clearcpuid=`` takes for a flag (kernel: arch/x86/include/asm/cpufeatures.h)."""


def explain(facts: Facts) -> Explanation:
    """Explains why KVM is not registered with the kernel of a host."""
    architecture = ARCHITECTURES.get(facts.architecture)
    if architecture is None:
        name = facts.architecture or "one that /proc/cpuinfo does not tell"
        return Explanation(Cause.UNSUPPORTED, f"the architecture is {name}")
    if facts.confidential:
        return Explanation(Cause.CONFIDENTIAL_GUEST, facts.confidential)
    outright = _said_outright(facts, architecture)
    if outright is not None:
        return outright
    if not architecture.flags:
        return _without_flags_to_see(facts, architecture)
    if not facts.cpu.flags:
        return Explanation(
            Cause.UNSUPPORTED,
            f"/proc/cpuinfo shows no CPU, so whether one has {architecture.feature} cannot be seen",
        )
    if not facts.cpu.cpus_with(*architecture.flags):
        return _without_flag(facts, architecture)
    return module_cause.explain(facts, architecture)


def _said_outright(facts: Facts, architecture: Architecture) -> Explanation | None:
    """What the kernel's log or its command line says in so many words."""
    off = facts.architecture == "aarch64" and facts.parameters.last("kvm-arm.mode") == "none"
    if off or first(facts.log, Topic.PARAMETER):
        return Explanation(
            Cause.DISABLED_BY_KERNEL_PARAMETER,
            "the kernel command line has kvm-arm.mode=none",
            take_off("kvm-arm.mode=none"),
        )
    hidden = _hidden_by_clearcpuid(facts, architecture)
    if hidden:
        return Explanation(
            Cause.DISABLED_BY_KERNEL_PARAMETER,
            f"the kernel command line has clearcpuid={hidden}",
            take_off(f"clearcpuid={hidden}"),
        )
    said = first(facts.log, Topic.FIRMWARE)
    if said:
        return Explanation(Cause.DISABLED_BY_FIRMWARE, f"the kernel log says: {said}", _in_a_vm(facts))
    said = first(facts.log, Topic.NO_NESTING)
    if said:
        outer = facts.hypervisor or hypervisor.POWER
        return Explanation(Cause.NESTED_NOT_EXPOSED, f"the kernel log says: {said}", outer.hint)
    return None


def _in_a_vm(facts: Facts) -> str | None:
    """The hint where the firmware that switched virtualisation off is that of a VM."""
    if facts.cpu.has("hypervisor") and facts.hypervisor is not None:
        return f"this is a VM: its firmware is {facts.hypervisor.name}'s; {facts.hypervisor.hint}"
    return None


def _hidden_by_clearcpuid(facts: Facts, architecture: Architecture) -> str:
    cleared = facts.parameters.listed("clearcpuid")
    for flag in architecture.flags:
        if (flag == "svm") == (facts.cpu.vendor == "GenuineIntel"):
            continue
        for word in (flag, _CLEARCPUID.get(flag, "")):
            if word and word in cleared and not facts.cpu.has(flag):
                return word
    return ""


def _nested(facts: Facts, none: str) -> Explanation | None:
    """The machine is a VM, and its hypervisor keeps virtualization to itself."""
    outer = facts.hypervisor
    if not facts.cpu.has("hypervisor") and (outer is None or not outer.certain):
        return None
    outer = outer or hypervisor.OTHER
    return Explanation(
        Cause.NESTED_NOT_EXPOSED,
        f"{none}; this machine is a VM under {outer.name}, which does not pass virtualization through",
        outer.hint,
    )


def _without_flag(facts: Facts, architecture: Architecture) -> Explanation:
    none = f"none of {len(facts.cpu.flags)} CPUs in /proc/cpuinfo has {architecture.feature}"
    nested = _nested(facts, none)
    if nested is not None:
        return nested
    raw = sorted(flag for flag in architecture.flags if facts.raw_flags and flag in facts.raw_flags)
    if raw:
        return Explanation(
            Cause.DISABLED_BY_FIRMWARE,
            f"the CPU itself reports {raw[0]} (raw CPUID), the kernel does not: firmware switched it off",
        )
    return Explanation(
        Cause.NO_VIRTUALIZATION,
        f"{none}; whether they lack it or firmware hides it cannot be told apart{unseen(facts)}",
        _HINTS.get(facts.architecture),
        ask_cpu=facts.raw_flags is None,
    )


def _without_flags_to_see(facts: Facts, architecture: Architecture) -> Explanation:
    """An architecture whose CPUs show no flag: the kernel's log tells, or the module."""
    said = first(facts.log, Topic.NO_HYPERVISOR_MODE)
    if architecture.modules and not said:
        return module_cause.explain(facts, architecture)
    none = f"the kernel log says: {said}" if said else "KVM, a part of this kernel, did not start"
    return _nested(facts, none) or Explanation(
        Cause.NO_VIRTUALIZATION,
        f"{none}; whether the CPU lacks {architecture.feature} or firmware started the kernel without it "
        f"cannot be told apart{unseen(facts)}",
        _HINTS.get(facts.architecture),
    )
