"""Gathers what a host tells about virtualisation, through a reader of its files.

Everything here may be missing or refused; what could not be read is not known, and the explanation says so
where it matters.
"""

from collections.abc import Iterable
from typing import NamedTuple

from linux import cmdline, hypervisor, kernel_log, misc, modprobe, modules
from linux.cmdline import CommandLine
from linux.cpuinfo import CPUInfo
from linux.hypervisor import Hypervisor
from linux.kernel_log import Message
from linux.lookup import architecture, processors
from linux.modprobe import Rule
from linux.modules import Modules
from linux.reader import Reader, text

MODULES = frozenset({"kvm", "kvm_intel", "kvm_amd", "kvm_pvm", "kvm_hv", "kvm_pr"})


class Facts(NamedTuple):
    """What was found on a host.

    Attributes:
        architecture: As ``uname -m`` says there, empty where nothing tells.
        cpu: Its CPUs.
        parameters: The kernel's command line.
        log: The kernel log's messages about virtualisation.
        log_error: Why the log could not be read, empty where it was.
        hypervisor: What the machine runs under, None where nothing names it.
        confidential: What says that this is a confidential guest (SEV, TDX), empty where nothing does.
        modules: Kernel modules that have to do with KVM.
        rules: Lines of modprobe's configuration that forbid such a module.
        raw_flags: CPU flags as the CPU itself reports them, None where it was not asked.
    """

    architecture: str = ""
    cpu: CPUInfo = CPUInfo({})
    parameters: CommandLine = CommandLine({})
    log: tuple[Message, ...] = ()
    log_error: str = ""
    hypervisor: Hypervisor | None = None
    confidential: str = ""
    modules: Modules = Modules()
    rules: tuple[Rule, ...] = ()
    raw_flags: frozenset[str] | None = None


def take(reader: Reader) -> Facts:
    """Reads everything that can explain why KVM is not there."""
    cpu = processors(reader)
    try:
        log, log_error = tuple(kernel_log.find(reader.kernel_log())), ""
    except OSError as error:
        log, log_error = (), error.strerror or type(error).__name__
    return Facts(
        architecture=architecture(reader, cpu),
        cpu=cpu,
        parameters=cmdline.parse(text(reader, "/proc/cmdline")),
        log=log,
        log_error=log_error,
        hypervisor=_hypervisor(reader, log),
        confidential=_confidential(reader, cpu, log),
        modules=_modules(reader),
        rules=_rules(reader),
    )


def _hypervisor(reader: Reader, log: Iterable[Message]) -> Hypervisor | None:
    dmi = {name: text(reader, f"/sys/class/dmi/id/{name}").strip() for name in hypervisor.DMI_FIELDS}
    return hypervisor.identify(
        dmi,
        hypervisor_type=text(reader, "/sys/hypervisor/type"),
        log=kernel_log.first(log, kernel_log.Topic.HYPERVISOR),
        sysinfo=text(reader, "/proc/sysinfo"),
        compatible=text(reader, "/proc/device-tree/compatible"),
    )


def _confidential(reader: Reader, cpu: CPUInfo, log: Iterable[Message]) -> str:
    """The kernel log, TDX's CPU flag, or the guest's attestation device (kernel: coco/sev-guest.rst)."""
    said = kernel_log.first(log, kernel_log.Topic.CONFIDENTIAL)
    if said:
        return f"the kernel log says: {said}"
    if cpu.has("tdx_guest"):
        return "/proc/cpuinfo has the flag tdx_guest"
    devices = misc.parse(text(reader, "/proc/misc"))
    return next(
        (f"/proc/misc has {name}" for name in ("sev-guest", "tdx_guest", "tdx-guest") if name in devices), ""
    )


def _modules(reader: Reader) -> Modules:
    release = text(reader, "/proc/sys/kernel/osrelease").strip()
    loaded = {name for name in MODULES if reader.exists(f"/sys/module/{name}")}
    loaded |= MODULES & modules.loaded(text(reader, "/proc/modules"))
    builtin = on_disk = None
    absent = bool(release) and "/" not in release
    for directory in modules.DIRECTORIES if absent else ():
        folder = f"{directory}/{release}"
        try:
            reader.listdir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            absent = False
            continue
        absent = False
        if builtin is None:
            builtin = _named(reader, f"{folder}/modules.builtin")
        if on_disk is None:
            on_disk = _named(reader, f"{folder}/modules.dep")
    return Modules(
        release=release,
        loaded=frozenset(loaded),
        builtin=builtin,
        on_disk=on_disk,
        absent=absent,
        disabled=text(reader, "/proc/sys/kernel/modules_disabled").strip() == "1",
    )


def _named(reader: Reader, path: str) -> frozenset[str] | None:
    try:
        return modules.named(reader.read_text(path), MODULES)
    except OSError:
        return None


def _rules(reader: Reader) -> tuple[Rule, ...]:
    listing: dict[str, list[str]] = {}
    for directory in modprobe.DIRECTORIES:
        try:
            listing[directory] = reader.listdir(directory)
        except OSError:
            continue
    return tuple(
        rule
        for file in modprobe.effective_files(listing)
        for rule in modprobe.forbidding(file, text(reader, file), MODULES)
    )
