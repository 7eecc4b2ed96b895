"""Has the node enough memory for virtual machines?

Reads ``MemTotal`` of the host's ``/proc/meminfo``: the node's total, for what is free changes with every pod.
Memory set aside as huge pages is part of it; only VMs that ask for huge pages use it, so it is named.
"""

from linux import meminfo
from preflight.check import BLOCKING, Run, Setting, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown

MINIMUM = Setting("minimum_bytes", 1 << 30, "Bytes of memory that the node must have.", minimum=0)

ENOUGH = passing("Enough")
TOO_LITTLE = failing(
    "TooLittle",
    hint="give the node more memory, or lower minimum_bytes under [checks.Memory] in the configuration",
)
UNREADABLE = unknown("Unreadable", hint="head -1 /proc/meminfo; in a container, mount the host's /proc")


@check(
    "Memory",
    question="Has the node enough memory for virtual machines?",
    weight=BLOCKING,
    outcomes=(ENOUGH, TOO_LITTLE, UNREADABLE),
    reads=("/proc/meminfo: MemTotal, Hugetlb",),
    source="kernel: Documentation/filesystems/proc.rst, meminfo",
    settings=(MINIMUM,),
)
def memory(host: Host, run: Run) -> Finding:
    """Compares the node's total with the minimum."""
    try:
        text = host.read_text("/proc/meminfo")
        total = meminfo.amount(text, "MemTotal")
    except OSError as error:
        return UNREADABLE(f"reading /proc/meminfo: {error.strerror}")
    except ValueError as error:
        return UNREADABLE(f"/proc/meminfo: {error}")
    minimum = run.number(MINIMUM)
    message = f"{_gibibytes(total)} of memory, at least {_gibibytes(minimum)} are asked for"
    if huge := _huge_pages(text):
        message += f"; {_gibibytes(huge)} of it are set aside as huge pages"
    return (ENOUGH if total >= minimum else TOO_LITTLE)(message, evidence={"/proc/meminfo": f"{total} bytes"})


def _huge_pages(text: str) -> int:
    try:
        return meminfo.amount(text, "Hugetlb")
    except ValueError:  # a kernel without huge pages
        return 0


def _gibibytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
