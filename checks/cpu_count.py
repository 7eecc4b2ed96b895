"""Has the node enough CPUs for virtual machines?

Counts the CPUs that are online in ``/sys/devices/system/cpu/online``, else in ``/proc/stat``, else in
``/proc/cpuinfo``: the machine's, not those that our own cpuset or affinity leaves us (which is what
``os.cpu_count`` and ``nproc`` tell).
"""

from collections.abc import Callable

from linux import cpus, lookup
from linux.reader import text
from preflight.check import BLOCKING, Run, Setting, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown

ONLINE = "/sys/devices/system/cpu/online"
OFFLINE = "/sys/devices/system/cpu/offline"
STAT = "/proc/stat"
CPUINFO = "/proc/cpuinfo"
SOURCES: tuple[tuple[str, Callable[[Host], int]], ...] = (
    (ONLINE, lambda host: cpus.in_list(text(host, ONLINE))),
    (STAT, lambda host: cpus.in_stat(text(host, STAT))),
    (CPUINFO, lambda host: len(lookup.processors(host).flags)),
)

MINIMUM = Setting("minimum_cpus", 1, "CPUs that must be online.", minimum=0)

ENOUGH = passing("Enough")
TOO_FEW = failing(
    "TooFew",
    hint="lscpu -e; give the node more CPUs, or lower minimum_cpus under [checks.CPUCount] in the "
    "configuration",
)
UNREADABLE = unknown("Unreadable", hint=f"cat {ONLINE}; in a container, mount the host's /sys and /proc")


@check(
    "CPUCount",
    question="Has the node enough CPUs for virtual machines?",
    weight=BLOCKING,
    outcomes=(ENOUGH, TOO_FEW, UNREADABLE),
    reads=(ONLINE, "where that cannot be read: /proc/stat, /proc/cpuinfo", OFFLINE),
    source="kernel: Documentation/admin-guide/cputopology.rst; proc_stat(5)",
    settings=(MINIMUM,),
)
def cpu_count(host: Host, run: Run) -> Finding:
    """Counts the CPUs that are online."""
    path, count = next(((path, count) for path, ask in SOURCES if (count := ask(host))), ("", 0))
    if not count:
        return UNREADABLE(f"none of {', '.join(path for path, _ in SOURCES)} says how many CPUs are online")
    minimum = run.number(MINIMUM)
    message = f"online CPUs: {count}, at least {minimum} asked for"
    evidence = {path: f"CPUs: {count}"}
    if count >= minimum:
        return ENOUGH(message, evidence=evidence)
    offline = text(host, OFFLINE).strip()
    if not cpus.in_list(offline):
        return TOO_FEW(message, evidence=evidence)
    return TOO_FEW(
        f"{message}; {cpus.in_list(offline)} more are offline: {offline}",
        hint=f"chcpu -e {offline}; grep -oE '(nosmt|maxcpus|nr_cpus)[^ ]*' /proc/cmdline",
        evidence=evidence | {OFFLINE: offline},
    )
