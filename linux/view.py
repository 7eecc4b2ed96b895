"""Tells whether the ``/dev`` that we see is the host's own, or that of a container; pure."""

INITIAL_PID_NAMESPACE = "pid:[4026531836]"
"""``readlink /proc/self/ns/pid`` in no container (kernel: include/linux/proc_ns.h, PROC_PID_INIT_INO)."""


def is_container_dev(
    *, filesystem: str, init_has_it: bool | None, other_mounts: bool | None, pid_namespace: str
) -> bool | None:
    """Whether a device that is missing in our ``/dev`` stands in the host's; None where that cannot be told.

    There is one devtmpfs for the whole kernel, and a container's ``/dev`` is a tmpfs of its own.

    Args:
        filesystem: The type of the file system at ``/dev``.
        init_has_it: Whether init sees the device; None where that cannot be told.
        other_mounts: Our mount namespace is not init's; None where that cannot be told.
        pid_namespace: What the link ``/proc/self/ns/pid`` says.
    """
    if filesystem == "devtmpfs":
        return False
    if init_has_it is not None:
        return init_has_it
    return (bool(pid_namespace) and pid_namespace != INITIAL_PID_NAMESPACE) or other_mounts
