"""How fast is a guest's exit to user space and back?

The check ``KVM`` lets its guest make a hundred exits more, for at most 20 ms, and times each ``KVM_RUN``
(`linux.kvm.latency`); this one tells what the numbers mean. Every access of a VM to an emulated device is
such an exit. Bare metal takes 1 to 3 µs, a hypervisor in a VM 10 to 100, since the outer one has a part in
each: VMs then run, but slowly where they do much input and output. What is timed holds what asking from
Python adds; how long a call takes that enters no guest stands beside it. On a busy node a single exit can
take any time, so the median decides.
"""

from linux.kvm.latency import KEY, SECONDS, Timing
from preflight.check import ADVISORY, Run, Setting, check
from preflight.host import Host
from preflight.result import Finding, passing, skipping, unknown, warning

# Half of a CPU's time at 25,000 exits a second; well above what any bare metal takes.
LIMIT = Setting(
    "slow_above_microseconds", 20, "Microseconds above which the median exit counts as slow.", minimum=1
)

FAST_ENOUGH = passing("FastEnough")
SLOW = warning(
    "Slow",
    hint="systemd-detect-virt; where it names a hypervisor, run VMs with much I/O on bare metal; else look "
    "for what slows the CPU down: lscpu | grep -i mitigation; cpupower frequency-info",
)
NO_GUEST = skipping("NoGuest")
NOT_MEASURED = unknown("NotMeasured", hint="uptime; vm-preflight run --only GuestExitLatency")

LEAST = 10
"""Exits below which their median says nothing."""

RATE = 10_000
"""Exits in a second that a person can imagine: a busy disk or network card."""


@check(
    "GuestExitLatency",
    question="How fast is a guest's exit to user space and back?",
    weight=ADVISORY,
    outcomes=(FAST_ENOUGH, SLOW, NO_GUEST, NOT_MEASURED),
    reads=("the finding of KVM: KVM_RUN, timed",),
    source="kernel: Documentation/virt/kvm/api.rst, KVM_RUN; arch/x86/kvm/vmx/nested.c",
    needs=("KVM",),
    settings=(LIMIT,),
)
def guest_exit_latency(host: Host, run: Run) -> Finding:
    """Judges what KVM has measured."""
    told = run.findings["KVM"].evidence.get(KEY)
    if told is None:
        return NO_GUEST("no guest ran: there is no exit to time")
    timing = Timing.parse(told)
    if timing is None:
        return NOT_MEASURED(told)
    if timing.exits < LEAST:
        return NOT_MEASURED(
            f"exits of a guest within {SECONDS * 1000:g} ms: {timing.exits}, the fastest in "
            f"{_micros(timing.fastest)}; too few to tell a slow machine from a busy one"
        )
    limit = run.number(LIMIT)
    message = (
        f"a guest's exit to user space and back takes {_micros(timing.median)} (bare metal: 1 to 3 µs): "
        f"{RATE:,} exits a second, as a busy disk or network card makes them, take {_share(timing.median)}"
    )
    evidence = {
        "exits": str(timing.exits),
        "median": _micros(timing.median),
        "fastest": _micros(timing.fastest),
        "slowest decile": _micros(timing.slowest_decile),
        "a call that enters no guest": _micros(timing.bare),
    }
    if timing.median <= limit * 1000:
        return FAST_ENOUGH(message, evidence=evidence)
    return SLOW(f"VMs run, but slowly: {message}; above {limit} µs counts as slow", evidence=evidence)


def _share(nanoseconds: int) -> str:
    """Returns the time of `RATE` exits as a share of a second."""
    share = nanoseconds * RATE / 1e9
    return f"{share:.1%} of a CPU" if share < 1 else f"{share:.1f} CPUs"


def _micros(nanoseconds: int) -> str:
    return f"{nanoseconds / 1000:.1f} µs"
