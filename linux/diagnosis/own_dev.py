"""Tells whether a device is missing on the host, or only in the ``/dev`` that our own process sees."""

from linux import mountinfo, view
from linux.kvm.uapi import PATH
from linux.reader import Reader, link, own


def container(reader: Reader, path: str = PATH) -> str:
    """Says why the ``/dev`` that we see is not the host's, empty where it is.

    Args:
        reader: The host and our own process.
        path: A device that is missing in it.
    """
    if reader.root != "/":
        if reader.exists("/dev") or not reader.is_own_machine():  # a captured tree is all of its host
            return ""
        return f"{reader.root} has no directory dev: the host's /dev is not mounted there"
    mounts = mountinfo.parse(own(reader, "mountinfo"))
    if not mounts:
        return "without /proc/self/mountinfo it cannot be told whether this /dev is the host's own"
    mount = mountinfo.holding(mounts, path)
    filesystem = mount.kind if mount else ""
    pid_namespace = link(reader, "/proc/self/ns/pid")
    # In another namespace of processes, process 1 is the container's own, and says nothing of the host.
    init_is_hosts = pid_namespace in ("", view.INITIAL_PID_NAMESPACE)
    other_mounts, init_has_it = _init_view(reader, path) if init_is_hosts else (None, None)
    elsewhere = view.is_container_dev(
        filesystem=filesystem,
        init_has_it=init_has_it,
        other_mounts=other_mounts,
        pid_namespace=pid_namespace,
    )
    if elsewhere is None:
        return (
            f"it cannot be told from here whether this /dev ({filesystem or 'of no mount'}) is the host's own"
        )
    return "this process is in a container whose /dev does not have it" if elsewhere else ""


def _init_view(reader: Reader, path: str) -> tuple[bool | None, bool | None]:
    """Whether init's mounts are others than ours, and whether it sees the device; None for what is not told.

    Process 2, kthreadd, stands in for a process 1 that may not be looked at: kernel threads are in the first
    mount namespace.
    """
    ours, other = link(reader, "/proc/self/ns/mnt"), None
    for process in (1, 2):
        theirs = link(reader, f"/proc/{process}/ns/mnt")
        if not ours or not theirs:
            continue
        other = ours != theirs
        if reader.exists(f"/proc/{process}/root/dev"):  # also where we are in a chroot of the same mounts
            return other, reader.exists(f"/proc/{process}/root{path}")
        if not other:
            break
    return other, None
