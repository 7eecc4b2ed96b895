"""Parses /proc/meminfo (kernel: Documentation/filesystems/proc.rst, *meminfo*)."""

from linux.number import natural

MAX_DIGITS = 15
"""Digits of an amount: 10^15 kB are 888 PiB, more than any machine can address."""


def amount(text: str, name: str) -> int:
    """Returns one line's amount, in bytes.

    Args:
        text: The file.
        name: The line's name, such as ``MemTotal``.

    Raises:
        ValueError: There is no such line, or it holds no number of kB.
    """
    for line in text.split("\n"):
        key, colon, rest = line.partition(":")
        if key == name and colon:
            digits, _, unit = rest.strip().partition(" ")
            number = natural(digits, MAX_DIGITS)
            if number is None or unit != "kB":
                break
            return number * 1024
    raise ValueError(f"no line that says {name} in kB")
