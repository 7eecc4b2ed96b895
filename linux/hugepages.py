"""Parses what the kernel tells of huge pages (kernel: Documentation/admin-guide/mm/hugetlbpage.rst)."""

from linux.number import natural

_PREFIX, _SUFFIX = "hugepages-", "kB"

_UNITS = ((1 << 20, "GiB"), (1 << 10, "MiB"))
"""Kibibytes of each unit."""


def size(name: str) -> int | None:
    """Returns the kibibytes of a page from the name of its directory, ``hugepages-2048kB``; else None."""
    if not (name.startswith(_PREFIX) and name.endswith(_SUFFIX)):
        return None
    return natural(name[len(_PREFIX) : -len(_SUFFIX)])


def spelled(kibibytes: int) -> str:
    """Returns a size for a person: ``2 MiB``."""
    unit, name = next((pair for pair in _UNITS if kibibytes >= pair[0]), (1, "KiB"))
    return f"{kibibytes / unit:g} {name}"
