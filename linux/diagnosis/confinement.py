"""Tells what confines our own process: a user namespace, a container, a security module, seccomp."""

import errno
from collections.abc import Iterator

from linux import container, process
from linux.container import Runtime
from linux.process import Confinement
from linux.reader import Reader, link, own, text

_UNCONFINED = ("", "unconfined", "kernel")
"""Labels that keep a process from nothing; an SELinux without a policy calls every process ``kernel``."""

UNLABELLED = "a security module that keeps no label (Landlock, BPF)"


def of_own_process(reader: Reader) -> Confinement:
    """Reads ``/proc/self/status``."""
    return process.parse(own(reader, "status"))


def in_user_namespace(reader: Reader) -> bool:
    """Whether our process is in a user namespace other than the first (user_namespaces(7))."""
    uid_map = own(reader, "uid_map")
    return bool(uid_map) and not process.identity_mapped(uid_map)


def is_root(reader: Reader) -> bool:
    """Whether our process is root, and not that of a user namespace."""
    return reader.effective_user == 0 and not in_user_namespace(reader)


def runtime(reader: Reader) -> Runtime | None:
    """Returns what started our own process in a container or as a service, None where nothing tells."""
    files = {}
    for name in container.FILES if _has_namespaces(reader) else ():
        try:
            files[name] = reader.own_process(f"root/{name}")
        except OSError:
            continue
    return container.identify(own(reader, "environ"), own(reader, "cgroup"), files)


def _has_namespaces(reader: Reader) -> bool:
    """Whether our process is in a namespace other than the first of its kind (namespaces(7))."""
    # No link: no /proc, or a kernel without namespaces of this kind.
    return any(
        link(reader, f"/proc/self/ns/{name}") not in ("", first)
        for name, first in container.INITIAL_NAMESPACES.items()
    )


def device_hint(reader: Reader, path: str) -> str | None:
    """Says how what started our own process is told to hand over a device; None where nothing tells of it."""
    started_by = runtime(reader)
    return started_by.device.replace("PATH", path) if started_by else None


def security_modules(reader: Reader, number: int) -> Iterator[str]:
    """Yields the security modules that may answer our process with an error, as far as the kernel tells.

    ``/proc/self/attr/current`` is that of the first module that keeps labels, and AppArmor has a file of its
    own beside it (kernel: Documentation/admin-guide/LSM/index.rst). Landlock and BPF keep no label, and
    Landlock answers EACCES alone (landlock(7)).
    """
    label = _label(reader)
    # A profile of AppArmor ends in its mode, the context of SELinux does not.
    apparmor = label.endswith(")")
    silent = label.endswith("(complain)") if apparmor else _is_permissive(reader)
    if label not in _UNCONFINED and not silent:
        yield f"{'AppArmor' if apparmor else 'the security module'} ({label})"
    active = text(reader, "/sys/kernel/security/lsm").strip().split(",")
    if "landlock" in active and number == errno.EACCES:
        yield "Landlock (no file tells its rules)"
    if "bpf" in active:
        yield "a BPF security module (no file tells its rules)"


def evidence(reader: Reader) -> dict[str, str]:
    """Returns what tells of our own process's confinement, by where it stands."""
    found = of_own_process(reader)
    read = {
        "/proc/self/status Seccomp": "" if found.seccomp is None else str(found.seccomp),
        "/proc/self/status CapEff": "" if found.capabilities is None else f"{found.capabilities:016x}",
        "/proc/self/uid_map": own(reader, "uid_map") if in_user_namespace(reader) else "",
        "/proc/self/attr/current": _label(reader),
        "/proc/self/cgroup": own(reader, "cgroup"),
        "/sys/kernel/security/lsm": text(reader, "/sys/kernel/security/lsm"),
    }
    return {place: value for place, value in read.items() if value.strip()}


def seccomp(confinement: Confinement) -> str:
    """Says in words that a seccomp filter is in force, empty where none is known of."""
    if not confinement.seccomp:
        return ""
    many = f", {confinement.filters} of them" if (confinement.filters or 0) > 1 else ""
    return f"seccomp (a filter is in force{many})"


def _label(reader: Reader) -> str:
    for name in ("attr/apparmor/current", "attr/current"):
        label = own(reader, name).strip("\0\n ")
        if label:
            return label
    return ""


def _is_permissive(reader: Reader) -> bool:
    return text(reader, "/sys/fs/selinux/enforce").strip() == "0"
