"""Parses what a device cgroup allows (kernel: Documentation/admin-guide/cgroup-v1/devices.rst).

Version 2 does the same with a BPF program, which cannot be read back.
"""


def devices_path(text: str) -> str:
    """Returns the path of the devices controller in ``/proc/self/cgroup`` (cgroups(7)), empty without one."""
    for line in text.split("\n"):
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon and "devices" in controllers.split(","):
            return path
    return ""


def unified_path(text: str) -> str:
    """Returns the path in the hierarchy of version 2 in ``/proc/self/cgroup``, empty without one."""
    return next((line.removeprefix("0::") for line in text.split("\n") if line.startswith("0::")), "")


def allows(text: str, major: int, minor: int) -> bool:
    """Whether a ``devices.list`` shows that a character device may be opened for reading and writing.

    Where it says ``a *:* rwm``, single devices may be refused all the same: a group that allows by default
    does not list what is taken away from it (security/device_cgroup.c, devcgroup_seq_show).
    """
    for line in text.split("\n"):
        kind, _, rest = line.partition(" ")
        numbers, _, access = rest.partition(" ")
        left, _, right = numbers.partition(":")
        matches = left in ("*", str(major)) and right in ("*", str(minor))
        if kind in ("a", "c") and matches and {"r", "w"} <= set(access):
            return True
    return False
