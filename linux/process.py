"""Parses ``/proc/self/status`` (proc_pid_status(5)): what could keep this process from a device."""

from typing import NamedTuple

_CAP_DAC_OVERRIDE = 1 << 1
"""``CAP_DAC_OVERRIDE``, before which mode and ACL do not count (``linux/capability.h``; capabilities(7))."""


class Confinement(NamedTuple):
    """What confines a process.

    Attributes:
        seccomp: 0 none, 1 strict, 2 filter; None where it is not told.
        capabilities: The effective capabilities, a bit mask; None where it is not told.
        filters: How many seccomp filters are in force; None where it is not told (before Linux 5.9).
    """

    seccomp: int | None = None
    capabilities: int | None = None
    filters: int | None = None

    @property
    def overrides_modes(self) -> bool | None:
        """Whether it may open what mode and ACL refuse it; None where that is not told."""
        return None if self.capabilities is None else bool(self.capabilities & _CAP_DAC_OVERRIDE)


def parse(text: str) -> Confinement:
    """Parses the file; what is missing or nonsense is None."""
    fields = {key: value.strip() for key, _, value in (line.partition(":") for line in text.split("\n"))}
    return Confinement(
        seccomp=_integer(fields.get("Seccomp", ""), 10),
        capabilities=_integer(fields.get("CapEff", ""), 16),
        filters=_integer(fields.get("Seccomp_filters", ""), 10),
    )


def identity_mapped(id_map: str) -> bool:
    """Whether ``/proc/self/uid_map`` or ``gid_map`` is that of the initial user namespace.

    Source: user_namespaces(7).
    """
    return id_map.split() == ["0", "0", "4294967295"]


def _integer(text: str, base: int) -> int | None:
    try:
        return int(text[:32], base)
    except ValueError:
        return None
