"""Parses ``/proc/misc``: the registered misc devices (kernel: drivers/char/misc.c; proc_misc(5))."""


def parse(text: str) -> dict[str, int]:
    """Returns the minor number of each device name; names are matched whole, not by prefix."""
    devices: dict[str, int] = {}
    for line in text.split("\n"):
        minor, _, name = line.strip().partition(" ")
        if minor.isascii() and minor.isdigit() and len(minor) <= 7 and name:
            devices.setdefault(name.strip(), int(minor))
    return devices
