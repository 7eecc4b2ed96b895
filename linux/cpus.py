"""Counts the CPUs that are online, from either of two files. Pure.

``/sys/devices/system/cpu/online`` holds a list such as ``0-3,8`` (kernel:
Documentation/admin-guide/cputopology.rst); ``/proc/stat`` has a line for each online CPU (proc_stat(5)). Both
are the machine's, whatever cpuset or affinity our own process has.
"""

from linux.number import natural

MAX_CPU = 1 << 16
"""Numbers from here on are no CPU: the kernel's largest ``CONFIG_NR_CPUS`` is 8192."""


def in_list(text: str) -> int:
    """Returns how many CPUs a list names, 0 where it is none.

    The kernel writes numbers in ascending order, each once; anything else is no list of its.
    """
    count, last = 0, -1
    for part in text.strip().split(","):
        first, dash, end = part.partition("-")
        numbers = _number(first), _number(end if dash else first)
        if not last < numbers[0] <= numbers[1]:
            return 0
        count += numbers[1] - numbers[0] + 1
        last = numbers[1]
    return count


def in_stat(text: str) -> int:
    """Returns how many CPUs ``/proc/stat`` has a line for."""
    names = (line.partition(" ")[0] for line in text.split("\n") if line.startswith("cpu"))
    return sum(_number(name[3:]) >= 0 for name in names)


def _number(text: str) -> int:
    number = natural(text, digits=6)
    return -1 if number is None or number >= MAX_CPU else number
