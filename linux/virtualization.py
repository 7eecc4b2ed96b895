"""Explains why KVM is not there, from what a host tells: pure, and tested by tables.

The order is that of certainty: what the kernel or the configuration says outright, then what the CPU shows,
then what modules are there. Nothing is guessed: where evidence cannot decide, the explanation says so and
names what to look at.
"""

from enum import StrEnum
from typing import NamedTuple

from linux import hypervisor
from linux.architecture import ARCHITECTURES, Architecture
from linux.cmdline import normal
from linux.kernel_log import Topic, first
from linux.survey import Facts

_CLEARCPUID = {"vmx": "133", "svm": "194"}
"""Numbers that ``clearcpuid=`` takes for a flag (kernel: arch/x86/include/asm/cpufeatures.h)."""


_INITCALLS = {"kvm_intel": "vmx_init", "kvm_amd": "svm_init"}
"""What starts a module that is built in, as ``initcall_blacklist=`` names it."""


class Cause(StrEnum):
    """Why KVM is not there; the values are reasons of the `KVM` check."""

    MODULE_NOT_LOADED = "ModuleNotLoaded"
    MODULE_BLACKLISTED = "ModuleBlacklisted"
    MODULE_MISSING = "ModuleMissing"
    DISABLED_BY_KERNEL_PARAMETER = "DisabledByKernelParameter"
    DISABLED_BY_FIRMWARE = "DisabledByFirmware"
    NESTED_NOT_EXPOSED = "NestedNotExposed"
    CONFIDENTIAL_GUEST = "ConfidentialGuest"
    NO_VIRTUALIZATION = "NoVirtualization"
    UNSUPPORTED = "Unsupported"


class Explanation(NamedTuple):
    """Why KVM is not there.

    Attributes:
        cause: The cause.
        because: What tells it, as a clause.
        hint: What to do, None where the cause alone says it.
        ask_cpu: The CPU itself, asked for its raw flags, could still tell more.
    """

    cause: Cause
    because: str
    hint: str | None = None
    ask_cpu: bool = False


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
    return _module(facts, architecture)


def _said_outright(facts: Facts, architecture: Architecture) -> Explanation | None:
    """What the kernel's log or its command line says in so many words."""
    if facts.parameters.last("kvm-arm.mode") == "none" or first(facts.log, Topic.PARAMETER):
        return Explanation(
            Cause.DISABLED_BY_KERNEL_PARAMETER,
            "the kernel command line has kvm-arm.mode=none",
            _take_off("kvm-arm.mode=none"),
        )
    hidden = _hidden_by_clearcpuid(facts, architecture)
    if hidden:
        return Explanation(
            Cause.DISABLED_BY_KERNEL_PARAMETER,
            f"the kernel command line has clearcpuid={hidden}",
            _take_off(f"clearcpuid={hidden}"),
        )
    said = first(facts.log, Topic.FIRMWARE)
    if said:
        return Explanation(Cause.DISABLED_BY_FIRMWARE, f"the kernel log says: {said}", _in_a_vm(facts))
    said = first(facts.log, Topic.NO_NESTING)
    if said:
        outer = facts.hypervisor or hypervisor.POWER
        return Explanation(Cause.NESTED_NOT_EXPOSED, f"the kernel log says: {said}", outer.hint)
    return None


def _take_off(parameter: str) -> str:
    return f"take {parameter} off the kernel command line (/etc/default/grub, then update-grub) and reboot"


def _in_a_vm(facts: Facts) -> str | None:
    """The hint where the firmware that switched virtualisation off is that of a VM."""
    if facts.cpu.has("hypervisor") and facts.hypervisor is not None:
        return f"this is a VM: its firmware is {facts.hypervisor.name}'s; {facts.hypervisor.hint}"
    return None


def _hidden_by_clearcpuid(facts: Facts, architecture: Architecture) -> str:
    cleared = facts.parameters.listed("clearcpuid")
    for flag in architecture.flags:
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
        f"{none}; whether they lack it or firmware hides it cannot be told apart{_unseen(facts)}",
        ask_cpu=facts.raw_flags is None,
    )


def _without_flags_to_see(facts: Facts, architecture: Architecture) -> Explanation:
    """An architecture whose CPUs show no flag: the kernel's log tells, or the module."""
    said = first(facts.log, Topic.NO_HYPERVISOR_MODE)
    if architecture.modules and not said:
        return _module(facts, architecture)
    none = f"the kernel log says: {said}" if said else "KVM, a part of this kernel, did not start"
    return _nested(facts, none) or Explanation(
        Cause.NO_VIRTUALIZATION,
        f"{none}; whether the CPU lacks {architecture.feature} or firmware started the kernel without it "
        f"cannot be told apart{_unseen(facts)}",
    )


def _unseen(facts: Facts) -> str:
    return f" (the kernel log could not be read: {facts.log_error})" if facts.log_error else ""


def _module(facts: Facts, architecture: Architecture) -> Explanation:
    """The CPU can, or does not say that it cannot: what about the module?"""
    module = _module_of(facts, architecture)
    initcall = _INITCALLS.get(module, "kvm_init")
    if initcall in facts.parameters.listed("initcall_blacklist"):
        parameter = f"initcall_blacklist={initcall}"
        return Explanation(
            Cause.DISABLED_BY_KERNEL_PARAMETER,
            f"the kernel command line has {parameter}, which keeps {module} from starting",
            _take_off(parameter),
        )
    known = facts.modules
    built_in = module in (known.builtin or ())
    if built_in or module in known.loaded:
        return _not_started(facts, module, built_in=built_in)
    if known.builtin is not None and known.on_disk is not None and module not in known.on_disk:
        return Explanation(
            Cause.MODULE_MISSING,
            f"{module} is neither in modules.builtin nor in modules.dep of /lib/modules/{known.release}",
        )
    return _forbidden(facts, module) or _not_loaded(facts, module)


def _module_of(facts: Facts, architecture: Architecture) -> str:
    for flag, module in architecture.modules.items():
        if not flag or facts.cpu.has(flag):
            return module
    return "kvm"


def _forbidden(facts: Facts, module: str) -> Explanation | None:
    """What modprobe's configuration and the kernel's command line forbid."""
    for parameter in ("module_blacklist", "modprobe.blacklist"):
        listed = facts.parameters.listed(parameter)
        if module in listed or "kvm" in listed:
            written = f"{parameter}={','.join(facts.parameters.values[parameter])}"
            return Explanation(
                Cause.MODULE_BLACKLISTED,
                f"the kernel command line forbids {module}: {written}",
                _take_off(written),
            )
    if facts.parameters.last("nomodule") is not None:
        return Explanation(
            Cause.MODULE_BLACKLISTED,
            f"the kernel command line has nomodule, and {module} is not built in",
            _take_off("nomodule"),
        )
    rule = next((rule for rule in facts.rules if normal(rule.text.split()[1]) in (module, "kvm")), None)
    if rule is None:
        return None
    return Explanation(
        Cause.MODULE_BLACKLISTED,
        f"{rule.file} forbids {module}: {rule.text}",
        f"remove the line '{rule.text}' from {rule.file}, then: modprobe {module}",
    )


def _not_started(facts: Facts, module: str, *, built_in: bool) -> Explanation:
    said = first(facts.log, Topic.NOT_SUPPORTED) or first(facts.log, Topic.INCONSISTENT)
    reported = f"; the kernel log says: {said}" if said else _unseen(facts)
    return Explanation(
        Cause.MODULE_NOT_LOADED,
        f"{module} is {'built into the kernel' if built_in else 'loaded'}, but did not register KVM{reported}",
        "the kernel log says why: dmesg | grep -iE 'kvm|vmx|svm'",
    )


def _not_loaded(facts: Facts, module: str) -> Explanation:
    known = facts.modules
    if known.absent:
        return Explanation(
            Cause.MODULE_MISSING,
            f"{module} is not loaded, and /lib/modules/{known.release} does not exist: the host has no modules "
            "for the kernel that runs",
            "after an upgrade of the kernel: reboot; else install its modules (Debian: apt install "
            f"linux-image-{known.release}; Fedora: dnf install kernel-modules-{known.release})",
        )
    if known.disabled:
        return Explanation(
            Cause.MODULE_NOT_LOADED,
            f"{module} is not loaded, and kernel.modules_disabled is 1: no module can be loaded until a reboot",
            f"echo {module} > /etc/modules-load.d/kvm.conf, then reboot",
        )
    said = first(facts.log, Topic.SIGNATURE)
    if said:
        return Explanation(
            Cause.MODULE_NOT_LOADED,
            f"{module} is not loaded; the kernel takes signed modules only, its log says: {said}",
            f"install the distribution's own signed kernel and modules, then: modprobe {module}",
        )
    where = "is on disk but not loaded" if module in (known.on_disk or ()) else "is not loaded"
    return Explanation(
        Cause.MODULE_NOT_LOADED,
        f"{_can(facts)}{module} {where}",
        f"modprobe {module}; to have it after each boot: echo {module} > /etc/modules-load.d/kvm.conf",
    )


def _can(facts: Facts) -> str:
    able, all_of_them = facts.cpu.cpus_with(*ARCHITECTURES[facts.architecture].flags), len(facts.cpu.flags)
    if not able:
        return ""
    return "the CPU can, " if len(able) == all_of_them else f"only {len(able)} of {all_of_them} CPUs can, "
