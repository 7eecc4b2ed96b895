"""Parses ``/proc/self/status`` (proc_pid_status(5)): what could keep this process from a device."""

from typing import NamedTuple


class Confinement(NamedTuple):
    """What confines a process.

    Attributes:
        seccomp: 0 none, 1 strict, 2 filter; None where it is not told.
        no_new_privileges: ``no_new_privs`` is set.
        capabilities: The effective capabilities, a bit mask; None where it is not told.
    """

    seccomp: int | None = None
    no_new_privileges: bool = False
    capabilities: int | None = None


def parse(text: str) -> Confinement:
    """Parses the file; what is missing or nonsense is None."""
    fields = {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    return Confinement(
        seccomp=_integer(fields.get("Seccomp", ""), 10),
        no_new_privileges=fields.get("NoNewPrivs") == "1",
        capabilities=_integer(fields.get("CapEff", ""), 16),
    )


def identity_mapped(uid_map: str) -> bool:
    """Whether ``/proc/self/uid_map`` is that of the initial user namespace (user_namespaces(7))."""
    return uid_map.split() == ["0", "0", "4294967295"]


def _integer(text: str, base: int) -> int | None:
    try:
        return int(text[:32], base)
    except ValueError:
        return None
