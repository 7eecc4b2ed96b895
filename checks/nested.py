"""Is the node itself a virtual machine, and can it have virtual machines of its own?

A hypervisor shows itself by the CPU flag ``hypervisor`` on x86 (CPUID leaf 1, ECX bit 31; kernel:
arch/x86/include/asm/cpufeatures.h), and by name in DMI strings, the device tree, ``/proc/sysinfo`` or the
clocks that it offers (`linux.lookup.hypervisor`). It lets this machine have VMs where a guest ran, or else
where the CPUs have the virtualization flag, unless ``KVM`` has better evidence. A confidential guest (SEV,
TDX) cannot have any.
"""

from typing import NamedTuple

from linux import hypervisor, lookup
from linux.architecture import ARCHITECTURES, X86
from linux.cpuinfo import CPUInfo
from linux.hypervisor import Hypervisor
from linux.reader import text
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, Status, failing, passing, unknown

CPUINFO = "/proc/cpuinfo"
VENDOR = "/sys/class/dmi/id/sys_vendor"
SYSINFO = "/proc/sysinfo"

PSERIES = "pSeries"
"""What ``/proc/cpuinfo`` calls a partition of PowerVM or KVM (kernel: arch/powerpc/platforms/pseries)."""

BARE_METAL = passing("BareMetal")
NESTING_WORKS = passing("NestingWorks")
NESTING_EXPOSED = passing("NestingExposed")
NESTING_NOT_EXPOSED = failing(
    "NestingNotExposed",
    hint="systemd-detect-virt; enable nested virtualization for this VM in its hypervisor",
)
CONFIDENTIAL_GUEST = failing(
    "ConfidentialGuest",
    hint="use a machine type without SEV or TDX for this node: confidential guests cannot nest",
)
NOT_TOLD = unknown(
    "NotTold",
    hint="systemd-detect-virt; dmesg | grep -i hypervisor; in a container, mount the host's /proc and /sys",
)


REFUSED = "NestedNotExposed"
"""What ``KVM`` ends as where it has evidence that nesting is not passed on."""

HIDDEN = ("DisabledByKernelParameter", "ModuleNotLoaded", "ModuleBlacklisted", "ModuleMissing")
"""What ``KVM`` ends as where the kernel did not come to ask for virtualization."""


class Machine(NamedTuple):
    """What is known of the machine.

    Attributes:
        architecture: ``uname -m``, empty where nothing tells.
        cpu: Its CPUs.
        outer: The hypervisor that something names.
        confidential: What says that it is a confidential guest, empty where nothing does.
        refused: What the kernel's log says of a hypervisor that does not nest, empty where it does not.
    """

    architecture: str
    cpu: CPUInfo
    outer: Hypervisor | None
    confidential: str = ""
    refused: str = ""


@check(
    "Nested",
    question="Is the node itself a virtual machine, and can it have virtual machines of its own?",
    weight=ADVISORY,
    outcomes=(
        BARE_METAL,
        NESTING_WORKS,
        NESTING_EXPOSED,
        NESTING_NOT_EXPOSED,
        CONFIDENTIAL_GUEST,
        NOT_TOLD,
    ),
    reads=(
        "the finding of KVM",
        CPUINFO,
        "/sys/class/dmi/id, /sys/hypervisor/type, /proc/xen/capabilities",
        "/proc/device-tree, /proc/sysinfo, /sys/devices/system/clocksource",
        "where no guest ran: /dev/kmsg, /proc/misc",
    ),
    source="kernel: arch/x86/include/asm/cpufeatures.h, drivers/firmware/dmi-id.c; systemd-detect-virt(1)",
    after=("KVM",),
)
def nested(host: Host, run: Run) -> Finding:
    """Finds out what the machine runs under, then what that one lets it do."""
    found = run.findings.get("KVM")
    works = found is not None and found.outcome.status is Status.PASS
    machine = _look(host) if works else _look_closely(host)
    outer = machine.outer or (hypervisor.POWER if machine.cpu.platform == PSERIES else hypervisor.OTHER)
    is_vm = outer.certain or _is_vm(host, machine)
    if is_vm is None:
        cloud = f"{outer.name} has VMs and bare metal; " if machine.outer else ""
        return NOT_TOLD(f"{cloud}neither CPUs nor firmware tell whether this is a virtual machine")
    if not is_vm:
        maker = text(host, VENDOR).strip()
        kind = "an LPAR" if machine.architecture == "s390x" else "bare metal"
        return BARE_METAL(
            f"nothing shows a hypervisor: {kind}{f' of {maker}' if maker else ''}",
            evidence={VENDOR: maker} if maker else None,
        )
    known = ARCHITECTURES.get(machine.architecture)
    flags = known.flags if known else ()
    flag = next((flag for flag in flags if machine.cpu.has(flag)), "")
    lacks = f"its CPUs do not show {known.feature}" if known and flags and not flag else ""
    this = f"this machine is a VM under {outer.name}"
    evidence = {"hypervisor": outer.name} | ({CPUINFO: flag} if flag else {})
    if works:
        return NESTING_WORKS(
            f"{this}, and guests run in it{f', though {lacks}' if lacks else ''}", evidence=evidence
        )
    if machine.confidential:
        return CONFIDENTIAL_GUEST(
            f"{this}, a confidential one, which cannot nest ({machine.confidential})", evidence=evidence
        )
    reason = found.outcome.reason if found else ""
    if machine.refused:
        refused = f"the kernel log says: {machine.refused}"
    else:
        refused = "KVM says so" if reason == REFUSED else ""
    if not refused and (flag or lookup.registered(host) is not None):
        shown = f"its CPUs have {flag}" if flag else "KVM is registered with its kernel"
        return NESTING_EXPOSED(f"{this} and can have VMs: {shown}; but no guest ran", evidence=evidence)
    if not refused and reason in HIDDEN:
        return NOT_TOLD(
            f"{this}; KVM ended as {reason}, and nothing else tells whether it passes virtualization on",
            hint="do what the result of KVM says, then run again: vm-preflight run --only KVM,Nested",
            evidence=evidence,
        )
    return NESTING_NOT_EXPOSED(
        f"{this} that does not pass virtualization through: "
        f"{refused or lacks or 'KVM is not registered with its kernel'}",
        hint=outer.hint_on(machine.architecture),
        evidence=evidence,
    )


def _look(host: Host) -> Machine:
    """Reads what is cheap to read: where guests run, it is enough."""
    try:
        cpu = lookup.first_processors(host)
    except OSError:
        cpu = CPUInfo({})
    return Machine(lookup.architecture(host, cpu), cpu, lookup.hypervisor(host))


def _look_closely(host: Host) -> Machine:
    """Reads all that there is, the kernel's log too."""
    from linux.diagnosis import survey
    from linux.kernel_log import Topic, first

    facts = survey.take(host)
    confidential = str(facts.confidential) if facts.confidential.where else ""
    refused = first(facts.log, Topic.NO_NESTING)
    return Machine(facts.architecture, facts.cpu, facts.hypervisor, confidential, refused)


def _is_vm(host: Host, machine: Machine) -> bool | None:
    """Whether this is a VM, where no name of a hypervisor proves it; None where nothing tells."""
    if machine.architecture in X86:
        return machine.cpu.has("hypervisor") if machine.cpu.flags else None
    if machine.cpu.platform == "PowerNV":
        return False
    # No flag tells the bare metal of a cloud from its VMs.
    if machine.outer is not None or machine.architecture not in ARCHITECTURES:
        return None
    told = (text(host, VENDOR), text(host, SYSINFO), lookup.device_tree(host, "compatible"))
    return False if any(map(str.strip, told)) else None
