"""Explains why KVM's module is not there, on a CPU that can or does not say that it cannot: pure."""

from linux.architecture import ARCHITECTURES, Architecture
from linux.cmdline import normal
from linux.diagnosis.cause import Cause, Explanation, take_off, unseen
from linux.diagnosis.survey import Facts
from linux.kernel_log import Topic, first

_INITCALLS = {"kvm_intel": "vmx_init", "kvm_amd": "svm_init"}
"""What starts a module that is built in, as ``initcall_blacklist=`` names it."""


def explain(facts: Facts, architecture: Architecture) -> Explanation:
    """Explains it from the command line, the lists of modules and modprobe's configuration."""
    module = _module_of(facts, architecture)
    initcall = _INITCALLS.get(module, "kvm_init")
    if initcall in facts.parameters.listed("initcall_blacklist"):
        parameter = f"initcall_blacklist={initcall}"
        return Explanation(
            Cause.DISABLED_BY_KERNEL_PARAMETER,
            f"the kernel command line has {parameter}, which keeps {module} from starting",
            take_off(parameter),
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
                take_off(written),
            )
    if facts.parameters.last("nomodule") is not None:
        return Explanation(
            Cause.MODULE_BLACKLISTED,
            f"the kernel command line has nomodule, and {module} is not built in",
            take_off("nomodule"),
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
    reported = f"; the kernel log says: {said}" if said else unseen(facts)
    return Explanation(
        Cause.MODULE_NOT_LOADED,
        f"{module} is {'built in' if built_in else 'loaded'}, but did not register KVM{reported}",
        "the kernel log says why: dmesg | grep -iE 'kvm|vmx|svm'",
    )


def _not_loaded(facts: Facts, module: str) -> Explanation:
    known = facts.modules
    if known.absent:
        return Explanation(
            Cause.MODULE_MISSING,
            f"{module} is not loaded, and /lib/modules/{known.release} does not exist: the host "
            "has no modules for the kernel that runs",
            "after an upgrade of the kernel: reboot; else install its modules (Debian: apt install "
            f"linux-image-{known.release}; Fedora: dnf install kernel-modules-{known.release})",
        )
    if known.disabled:
        return Explanation(
            Cause.MODULE_NOT_LOADED,
            f"{module} is not loaded, and kernel.modules_disabled is 1: none can be loaded until a reboot",
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
