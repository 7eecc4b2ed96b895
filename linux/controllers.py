"""Parses ``/proc/cgroups``: which cgroup controllers there are (cgroups(7); kernel/cgroup/cgroup-v1.c)."""

from typing import NamedTuple

from linux.number import natural


class Controller(NamedTuple):
    """A controller, as ``/proc/cgroups`` lists it.

    Attributes:
        hierarchy: The version 1 hierarchy that it is bound to; 0 where it is bound to none, and version 2 may
            have it.
        enabled: False where the kernel's parameter ``cgroup_disable`` names it.
    """

    hierarchy: int
    enabled: bool


def listed(text: str) -> dict[str, Controller]:
    """Parses the file, which is the same in every namespace.

    Newer kernels leave out controllers without a version 1 interface (cgroup1_subsys_absent), so what is
    missing there may still be had in version 2.
    """
    found: dict[str, Controller] = {}
    for line in text.split("\n"):
        fields = line.split()
        if len(fields) == 4 and all(natural(field, digits=9) is not None for field in fields[1:]):
            found[fields[0]] = Controller(int(fields[1]), fields[3] != "0")
    return found
