"""Counts the CPUs that are online, from either of two files. Pure.

``/sys/devices/system/cpu/online`` holds a list such as ``0-3,8`` (kernel:
Documentation/admin-guide/cputopology.rst); ``/proc/stat`` has a line for each online CPU (proc_stat(5)). Both
are the machine's, whatever cpuset or affinity our own process has.
"""

import re

MAX_CPU = 1 << 16
"""Numbers from here on are no CPU: the kernel's largest ``CONFIG_NR_CPUS`` is 8192."""

_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_LINE = re.compile(r"^cpu\d{1,6} ", re.ASCII | re.MULTILINE)


def in_list(text: str) -> int:
    """Returns how many CPUs a list names, 0 where it is none.

    The kernel writes numbers in ascending order, each once; anything else is no list of its.
    """
    count, last = 0, -1
    for part in text.strip().split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            return 0
        first = int(match[1])
        end = int(match[2] or match[1])
        if not last < first <= end < MAX_CPU:
            return 0
        count += end - first + 1
        last = end
    return count


def in_stat(text: str) -> int:
    """Returns how many CPUs ``/proc/stat`` has a line for."""
    return len(_LINE.findall(text))
