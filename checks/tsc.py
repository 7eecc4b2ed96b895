"""Is the time stamp counter (TSC) fit to be virtual machines' clock?

Reads the CPUs' flags in ``/proc/cpuinfo`` (kernel: arch/x86/include/asm/cpufeatures.h) and which clock the
kernel itself uses (Documentation/ABI/testing/sysfs-devices-system-clocksource): KVM gives guests a clock that
costs them no exit only while the host keeps time by the TSC (arch/x86/kvm/x86.c, gtod_is_based_on_tsc). Only
x86 has one.
"""

from linux import lookup
from linux.architecture import X86
from linux.errors import words
from linux.reader import text
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, skipping, unknown

CPUINFO = "/proc/cpuinfo"
DIRECTORY = "/sys/devices/system/clocksource/clocksource0"
CURRENT = f"{DIRECTORY}/current_clocksource"
KNOWN = f"{DIRECTORY}/available_clocksource"

STEADY = frozenset({"constant_tsc", "nonstop_tsc"})
BASED_ON_TSC = ("tsc", "hyperv_clocksource_tsc_page")

GIVEN_UP = ("marking tsc unstable", "clocksource 'tsc' as unstable", "clocksource tsc unstable")
"""arch/x86/kernel/tsc.c, kernel/time/clocksource.c; the last one was printed before Linux 4.1."""

INVARIANT = passing("Invariant")
OTHER_CLOCK = passing("OtherClock")
NOT_INVARIANT = passing("NotInvariant")
UNSTABLE = failing(
    "Unstable",
    hint="dmesg | grep -iE 'tsc|clocksource'; update the firmware; VMs' clocks are slow until then",
)
NOT_APPLICABLE = skipping("NotApplicable")
UNREADABLE = unknown(
    "Unreadable", hint=f"head {CPUINFO} {CURRENT}; in a container, mount the host's /proc and /sys"
)


@check(
    "TSC",
    question="Is the time stamp counter (TSC) fit to be virtual machines' clock?",
    weight=ADVISORY,
    outcomes=(INVARIANT, OTHER_CLOCK, NOT_INVARIANT, UNSTABLE, NOT_APPLICABLE, UNREADABLE),
    reads=(
        f"{CPUINFO}: constant_tsc, nonstop_tsc",
        CURRENT,
        KNOWN,
        "where the TSC is not among them: /dev/kmsg",
    ),
    source="kernel: arch/x86/kernel/tsc.c, Documentation/virt/kvm/x86/timekeeping.rst",
)
def tsc(host: Host, run: Run) -> Finding:
    """Looks at the CPU's flags, then at the kernel's own clock."""
    try:
        info = lookup.first_processors(host)
    except OSError as error:
        return UNREADABLE(f"reading {CPUINFO}: {words(error.errno or 0)}")
    machine = lookup.architecture(host, info)
    if machine and machine not in X86:
        return NOT_APPLICABLE(f"{machine} has no time stamp counter")
    flags: frozenset[str] = next(iter(info.flags.values()), frozenset())
    current, known = text(host, CURRENT).strip(), text(host, KNOWN).split()
    if not flags or len(current.split()) != 1 or (known and current not in known):
        return UNREADABLE(f"{CURRENT if flags else CPUINFO} tells nothing")
    evidence = {CPUINFO: " ".join(sorted(STEADY & flags)), CURRENT: current}
    if not flags >= STEADY:
        return NOT_INVARIANT(
            f"its rate may change, or it may stop; the kernel's clock is {current}", evidence=evidence
        )
    if current in BASED_ON_TSC:
        return INVARIANT(f"its rate is constant; the kernel's clock is {current}", evidence=evidence)
    if "tsc" not in known:
        evidence |= {KNOWN: " ".join(known)} if known else {}
        said = _given_up(host)
        if said or (known and "hypervisor" not in flags):
            why = said or "it is not among the clocks that the kernel offers; its log does not tell why"
            return UNSTABLE(f"the kernel gave it up, its clock is {current}: {why}", evidence=evidence)
    return OTHER_CLOCK(f"its rate is constant, but the kernel's clock is {current}", evidence=evidence)


def _given_up(host: Host) -> str:
    """Returns what the kernel's log says of giving it up, empty where it says nothing or cannot be read."""
    try:
        return next(
            (line[:200] for line in host.kernel_log() if any(said in line.lower() for said in GIVEN_UP)), ""
        )
    except OSError:
        return ""
