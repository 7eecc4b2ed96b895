"""Parses ``/sys/kernel/security/apparmor/profiles`` (kernel: security/apparmor/apparmorfs.c; apparmor(7))."""

BLOCKS_NOTHING = ("complain", "unconfined")
"""Modes in which a profile denies nothing."""


def profiles(text: str) -> dict[str, str]:
    """Returns each profile's name and mode; a line is ``NAME (MODE)``, and names may hold spaces."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, separator, mode = line.rstrip().rpartition(" (")
        if separator and name and mode.endswith(")"):
            found[name] = mode[:-1]
    return found


def confining(found: dict[str, str], programs: frozenset[str]) -> dict[str, str]:
    """Returns the profiles that deny something to any of the programs, with their modes.

    A profile is named after the program (``libvirtd``) or after the path that it attaches to
    (``/usr/sbin/libvirtd``); ``//`` parts it from the profiles of what it starts.
    """
    return {
        name: mode
        for name, mode in found.items()
        if "//" not in name and name.rpartition("/")[2] in programs and mode not in BLOCKS_NOTHING
    }
