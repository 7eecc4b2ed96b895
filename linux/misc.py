"""Parses ``/proc/misc``: the registered misc devices (kernel: drivers/char/misc.c; proc_misc(5))."""

from linux.number import natural


def parse(text: str) -> dict[str, int]:
    """Returns the minor number of each device name; names are matched whole, not by prefix."""
    devices: dict[str, int] = {}
    for line in text.split("\n"):
        number, _, name = line.strip().partition(" ")
        minor = natural(number, digits=7)
        if minor is not None and name:
            devices.setdefault(name.strip(), minor)
    return devices
