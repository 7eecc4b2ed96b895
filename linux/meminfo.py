"""Parses /proc/meminfo (kernel: Documentation/filesystems/proc.rst, *meminfo*)."""


def total(text: str) -> int:
    """Returns the memory that the kernel can use (``MemTotal``), in bytes.

    Raises:
        ValueError: There is no such line, or it holds no number of kB.
    """
    for line in text.split("\n"):
        name, colon, rest = line.partition(":")
        if name == "MemTotal" and colon:
            amount, _, unit = rest.strip().partition(" ")
            if not (amount.isascii() and amount.isdigit() and len(amount) < 20 and unit == "kB"):
                break
            return int(amount) * 1024
    raise ValueError("no line that says MemTotal in kB")
