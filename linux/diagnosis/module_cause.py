"""Explains why KVM's module is not there, on a CPU that can or does not say that it cannot: pure."""

import re

from linux import kconfig, modprobe
from linux.architecture import ARCHITECTURES, Architecture
from linux.diagnosis.cause import Cause, Explanation, take_off
from linux.diagnosis.facts import Facts, complaint, log, to_see, unseen
from linux.kernel_log import Topic, first

_INITCALLS = {
    "kvm_intel": ("vmx_init", "vt_init"),
    "kvm_amd": ("svm_init",),
    "kvm_hv": ("kvmppc_book3s_init_hv",),
    "kvm": (
        *("kvm_x86_init", "kvm_arm_init", "arm_init", "kvm_s390_init", "riscv_kvm_init"),
        *("kvm_loongarch_init", "kvmppc_book3s_init"),
    ),
}
"""What starts a module, built in or not, as ``initcall_blacklist=`` names it (arch/…/kvm, module_init)."""

_SIGNED = "install the distribution's own signed kernel and modules, then: modprobe {0}"

_PERSIST = "to have it after each boot: echo {0} > /etc/modules-load.d/kvm.conf"


def explain(facts: Facts, module: str) -> Explanation:
    """Explains it from the command line, the lists of modules and modprobe's configuration."""
    kept = kept_from_starting(facts, module)
    if kept is not None:
        return kept
    if is_built_in(facts, module):
        return not_started(facts, module, "built in")
    if module in facts.modules.loaded:
        return not_started(facts, module, "loaded")
    return _missing(facts, module) or _forbidden(facts, module) or _not_loaded(facts, module)


def kept_from_starting(facts: Facts, module: str) -> Explanation | None:
    """Explains that the kernel was told not to start a module, or one that it needs, built in or not."""
    told = facts.parameters.listed("initcall_blacklist")
    for name in _chain(facts, module):
        for call in _INITCALLS.get(name, ()):
            if call in told:
                parameter = f"initcall_blacklist={call}"
                return Explanation(
                    Cause.DISABLED_BY_KERNEL_PARAMETER,
                    f"the kernel command line has {parameter}: {_needed(name, module)} cannot start",
                    take_off(parameter),
                    evidence={"/proc/cmdline": parameter},
                )
    return None


def module_of(facts: Facts, architecture: Architecture) -> str:
    """Returns the module that would register KVM on a host's CPU."""
    for flag, module in architecture.modules.items():
        if not flag or facts.cpu.has(flag):
            return module
    return "kvm"


def is_built_in(facts: Facts, module: str) -> bool:
    """Whether the kernel has a module built in, as far as its lists tell."""
    return module in (facts.modules.builtin or ()) or facts.modules.options.get(module) == "y"


def _chain(facts: Facts, module: str) -> tuple[str, ...]:
    """The module and what it needs; kvm too where no list tells (arch/x86/kvm/Makefile)."""
    return (module, *(facts.modules.needs(module) or (("kvm",) if module != "kvm" else ())))


def _said_of(facts: Facts, chain: tuple[str, ...]) -> str:
    """What the kernel's log says of loading one of the modules, empty where it does not."""
    whole = re.compile(rf"\b({'|'.join(map(re.escape, chain))})\b")
    return first((message for message in facts.log if whole.search(message.text)), Topic.MODULE)


def _missing(facts: Facts, module: str) -> Explanation | None:
    """The kernel was built without it, or its file is not there."""
    known = facts.modules
    option = kconfig.OPTIONS.get(module, "")
    if known.options.get(module) == "n" and not known.is_on_disk(module):
        return Explanation(
            Cause.MODULE_MISSING,
            f"this kernel was built without {module}: {known.options_file} does not set {option}",
            evidence={known.options_file: f"{option} is not set"},
        )
    if known.options.get("modules") == "n":
        return Explanation(
            Cause.MODULE_MISSING,
            f"{module} is not built in, and this kernel takes no modules: {known.options_file} does not set "
            "CONFIG_MODULES",
            evidence={known.options_file: "CONFIG_MODULES is not set"},
        )
    if module in known.forgotten:
        file = known.forgotten[module]
        return Explanation(
            Cause.MODULE_NOT_LOADED,
            f"{module} is not loaded, and modprobe does not find it: {file} is there, but modules.dep of "
            f"{known.folder} does not list it",
            f"depmod -a && modprobe {module}",
            evidence={file: "not in modules.dep"},
        )
    if known.on_disk is not None and module not in known.on_disk:
        return Explanation(
            Cause.MODULE_MISSING,
            f"{module} is neither in modules.builtin nor in modules.dep of {known.folder}"
            if known.builtin is not None
            else f"{module} is not in modules.dep of {known.folder}, and no list there of what is built in",
            evidence={f"{known.folder}/modules.dep": f"no {module}"},
        )
    gone = [file for file in (known.on_disk or {}).get(module, ()) if file in known.gone]
    if gone:
        return Explanation(
            Cause.MODULE_MISSING,
            f"modules.dep of {known.folder} lists {gone[0]} for {module}, but it is not there",
            "install the modules of this kernel anew (Debian: apt install --reinstall "
            f"linux-image-{known.release}; Fedora: dnf reinstall kernel-modules-{known.release}), then: "
            f"modprobe {module}",
            evidence={f"{known.folder}/{gone[0]}": "missing"},
        )
    return None


def _forbidden(facts: Facts, module: str) -> Explanation | None:
    """What modprobe's configuration and the kernel's command line forbid."""
    parameters, chain = facts.parameters, _chain(facts, module)
    # The kernel keeps the last value only, and compares names as they are written (kernel/module/main.c).
    denied = (parameters.last("module_blacklist") or "").split(",")
    by_kernel = next((name for name in chain if name in denied), "")
    by_modprobe = [value for value in parameters.anywhere("modprobe.blacklist") if module in value.split(",")]
    if by_kernel or by_modprobe:
        written = (
            f"module_blacklist={','.join(denied)}" if by_kernel else f"modprobe.blacklist={by_modprobe[-1]}"
        )
        return Explanation(
            Cause.MODULE_BLACKLISTED,
            f"the kernel command line forbids {_needed(by_kernel or module, module)}: {written}",
            take_off(written),
            evidence={"/proc/cmdline": written},
        )
    if parameters.is_set("nomodule"):
        return Explanation(
            Cause.MODULE_BLACKLISTED,
            f"the kernel command line has nomodule, and {module} is not built in",
            take_off("nomodule"),
            evidence={"/proc/cmdline": "nomodule"},
        )
    refused = _said_of(facts, chain)
    if "is blacklisted" in refused:
        return Explanation(
            Cause.MODULE_BLACKLISTED,
            f"the kernel log says: {refused}",
            "grep -o 'module_blacklist=[^ ]*' /proc/cmdline; take it off, and reboot",
            evidence=log(facts, refused),
        )
    rule = modprobe.forbidding(facts.rules, module, chain[1:])
    if rule is None:
        return None
    name = next((name for name in chain if rule.concerns(name)), module)
    how = "to be loaded by itself" if rule.verb == "blacklist" else "to be loaded"
    return Explanation(
        Cause.MODULE_BLACKLISTED,
        f"{rule.file} forbids {_needed(name, module)} {how}: {rule.text}",
        f"remove the line '{rule.text}' from {rule.file}, then: modprobe {module}",
        evidence={rule.file: rule.text},
    )


def _needed(name: str, module: str) -> str:
    return name if name == module else f"{name}, which {module} needs,"


def not_started(facts: Facts, module: str, how: str) -> Explanation:
    """Explains that a module that is there did not register KVM, as far as the kernel's log tells.

    Args:
        facts: What was found.
        module: Its name.
        how: How it is there: built in, or loaded.
    """
    words = complaint(facts, module)
    reported = f"; the kernel log says: {words}" if words else unseen(facts)
    return Explanation(
        Cause.MODULE_NOT_LOADED,
        f"{module} is {how}, but did not register KVM{reported}",
        f"the kernel log says why: {to_see(facts, 'kvm|vmx|svm')}",
        evidence={module: how, **log(facts, words)},
    )


def _not_loaded(facts: Facts, module: str) -> Explanation:
    return _cannot_be_loaded(facts, module) or _refused(facts, module) or _nobody_did(facts, module)


def _cannot_be_loaded(facts: Facts, module: str) -> Explanation | None:
    """What keeps every module, or this one, from being loaded."""
    known = facts.modules
    if known.foreign:
        return Explanation(
            Cause.MODULE_NOT_LOADED,
            f"{module} is not loaded; this process is in a container, whose own files do not tell whether "
            "the host has it",
            f"on the host: modprobe {module}; or run with the host's root: vm-preflight run --host-root DIR",
            evidence={module: "not loaded", "/": "not the host's"},
        )
    if known.absent:
        return Explanation(
            Cause.MODULE_MISSING,
            f"{module} is not loaded, and {known.folder} does not exist: the host "
            "has no modules for the kernel that runs",
            "after an upgrade of the kernel: reboot; else install its modules (Debian: apt install "
            f"linux-image-{known.release}; Fedora: dnf install kernel-modules-{known.release})",
            evidence={known.folder: "missing"},
        )
    if known.disabled:
        return Explanation(
            Cause.MODULE_NOT_LOADED,
            f"{module} is not loaded, and kernel.modules_disabled is 1: none can be loaded until a reboot",
            f"echo {module} > /etc/modules-load.d/kvm.conf, then reboot",
            evidence={"/proc/sys/kernel/modules_disabled": "1"},
        )
    unsigned = next((name for name in _chain(facts, module) if name in known.unsigned), "")
    if unsigned:
        return Explanation(
            Cause.MODULE_NOT_LOADED,
            f"{module} is not loaded; the file of {_needed(unsigned, module)} carries no signature, and the "
            f"kernel takes signed modules only: {known.signed_only}",
            _SIGNED.format(module),
            evidence={unsigned: "unsigned", "signatures": known.signed_only},
        )
    return None


def _refused(facts: Facts, module: str) -> Explanation | None:
    """What the kernel said when it was tried."""
    busy = first(facts.log, Topic.NOT_ENABLED)
    if busy and _release(facts) >= (6, 12):  # the extension is switched on when the module is loaded
        return Explanation(
            Cause.HYPERVISOR_BUSY,
            f"{module} could not be loaded, the kernel log says: {busy}",
            evidence=log(facts, busy),
        )
    broken = _said_of(facts, _chain(facts, module))
    if broken:
        return Explanation(
            Cause.MODULE_NOT_LOADED,
            f"{module} is not loaded; the kernel refused it, its log says: {broken}",
            f"install kernel and modules of the same build, reboot, then: modprobe {module}",
            evidence=log(facts, broken),
        )
    signature = first(facts.log, Topic.SIGNATURE)
    if signature:  # it does not name the module
        return Explanation(
            Cause.MODULE_NOT_LOADED,
            f"{module} is not loaded; the kernel takes modules with a signature that it knows only, and "
            f"refused one, its log says: {signature}",
            f"modinfo -F signer {module}; {_SIGNED.format(module)}",
            evidence=log(facts, signature),
        )
    return None


def _release(facts: Facts) -> tuple[int, ...]:
    """The kernel's version; empty, which is before all others, where it is not told."""
    numbers = facts.modules.release.split(".")[:2]
    return tuple(int(number) for number in numbers if number.isascii() and number.isdigit())


def _nobody_did(facts: Facts, module: str) -> Explanation:
    words = complaint(facts, module)
    reported = f"; the kernel log says: {words}" if words else unseen(facts)
    where = "is on disk but not loaded" if module in (facts.modules.on_disk or ()) else "is not loaded"
    load = f"modprobe {module} || dmesg | grep -iE 'kvm|vmx|svm'; {_PERSIST.format(module)}"
    unable = _unable(facts)
    if unable:
        numbers = " ".join(map(str, unable[:64]))
        load = f"for n in {numbers}; do echo 0 > /sys/devices/system/cpu/cpu$n/online; done; {load}"
    return Explanation(
        Cause.MODULE_NOT_LOADED,
        f"{_can(facts, unable)}{module} {where}{reported}",
        load,
        evidence={module: "not loaded", **log(facts, words)},
    )


def _unable(facts: Facts) -> list[int]:
    """The CPUs that lack the flag where others have it: KVM's modules then refuse to start."""
    able = frozenset(facts.cpu.cpus_with(*ARCHITECTURES[facts.architecture].flags))
    return [number for number in facts.cpu.flags if number not in able] if able else []


def _can(facts: Facts, unable: list[int]) -> str:
    every = len(facts.cpu.flags)
    if unable:
        return f"only {every - len(unable)} of {every} CPUs can, and KVM needs all that are online; "
    able = facts.cpu.cpus_with(*ARCHITECTURES[facts.architecture].flags)
    return "the CPU can, " if able else ""
