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


def allows(text: str, major: int, minor: int) -> bool:
    """Whether a ``devices.list`` lets a character device be opened for reading and writing."""
    for line in text.split("\n"):
        kind, _, rest = line.partition(" ")
        numbers, _, access = rest.partition(" ")
        left, _, right = numbers.partition(":")
        matches = left in ("*", str(major)) and right in ("*", str(minor))
        if kind in ("a", "c") and matches and {"r", "w"} <= set(access):
            return True
    return False
