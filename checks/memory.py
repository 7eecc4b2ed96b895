"""Has the node enough memory for virtual machines?

Asks psutil for the total, which it reads from the host's ``/proc/meminfo`` (kernel:
Documentation/filesystems/proc.rst). The total is the node's: what is free changes with every pod.
"""

import warnings

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
    reads=("/proc/meminfo: MemTotal",),
    source="kernel: Documentation/filesystems/proc.rst, meminfo",
    settings=(MINIMUM,),
    imports=("psutil",),
)
def memory(host: Host, run: Run) -> Finding:
    """Compares the node's total with the minimum."""
    try:
        total = _total(host.local_path("/proc"))
    except (OSError, ValueError, KeyError, IndexError) as error:
        # psutil has no error of its own for a file that is not what it expects.
        return UNREADABLE(f"/proc/meminfo: {type(error).__name__}: {error}")
    minimum = int(run.settings.get(MINIMUM.name, MINIMUM.default))
    message = f"{_gibibytes(total)} of memory, at least {_gibibytes(minimum)} are asked for"
    return (ENOUGH if total >= minimum else TOO_LITTLE)(message, evidence={"/proc/meminfo": f"{total} bytes"})


def _total(proc: str) -> int:
    # Imported here: it takes longer than all other checks together, and not every run asks.
    import psutil

    before = psutil.PROCFS_PATH
    psutil.PROCFS_PATH = proc
    try:
        with warnings.catch_warnings():
            # It warns of every other number that is missing in the file; the total is not.
            warnings.simplefilter("ignore", RuntimeWarning)
            return int(psutil.virtual_memory().total)
    finally:
        psutil.PROCFS_PATH = before


def _gibibytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
