"""Explains why this process may not use a device: EACCES and EPERM mean different things.

EACCES comes from the mount, the mode, an ACL, SELinux, AppArmor or Landlock; EPERM from the device cgroup
(kernel: Documentation/admin-guide/cgroup-v2.rst, device controller), seccomp, or another security module.

What access(2) answers tells the two halves of an open apart: it asks mode, ACL, device cgroup and SELinux
(fs/namei.c, inode_permission), but neither ``nodev`` (may_open) nor what looks at the open itself (seccomp,
AppArmor, Landlock).
"""

import errno
import os

from linux import cgroup, container, mountinfo
from linux.diagnosis import confinement, permission
from linux.diagnosis.cause import Cause, Explanation
from linux.kvm.uapi import PATH
from linux.reader import Reader, own, text


def access(reader: Reader, path: str = PATH) -> Explanation:
    """Explains EACCES on opening a character device.

    The kernel looks at ``nodev`` before the mode (fs/namei.c, may_open), so it does not matter whom the mode
    lets in.
    """
    try:
        status = reader.stat(path)
    except OSError:
        return _not_even_looked_at(reader, path)
    if _is_nodev(reader, path):
        return _nodev(reader, path)
    asked = reader.may_access(path)
    by_mode = None if asked else permission.explain(reader, path, status)
    return by_mode or _in_spite_of_the_mode(reader, path, status, asked=asked)


def kept_away(reader: Reader, path: str = PATH, *, opening: bool, number: int = errno.EPERM) -> Explanation:
    """Explains EPERM, or the like of an ioctl, as far as ``/proc/self`` and access(2) tell.

    Args:
        reader: The host and our own process.
        path: The device.
        opening: It came from ``open(2)``; the device cgroup does not look at ioctls.
        number: The error.
    """
    asked = reader.may_access(path) if opening else None
    by_cgroup = _refusing_cgroup(reader, path, asked=asked) if opening else ""
    if by_cgroup:
        return Explanation(
            Cause.DEVICE_CGROUP_DENIED,
            f"{by_cgroup} keeps this process from it",
            confinement.device_hint(reader, path),
            evidence=confinement.evidence(reader),
        )
    own_process = confinement.of_own_process(reader)
    cgroup_may = opening and asked is None
    suspects = ["the device cgroup"] if cgroup_may else []
    suspects += filter(None, [confinement.seccomp(own_process)])
    suspects += confinement.security_modules(reader, number)
    hint: str | None
    if own_process.seccomp:
        hint = _without_filter(reader)
    elif cgroup_may:
        hint = confinement.device_hint(reader, path)
    else:
        hint = _look_at_modules(path)
    return Explanation(
        Cause.DEVICE_CGROUP_DENIED,
        f"{' or '.join(suspects or [confinement.UNLABELLED])} keeps this process from it"
        f"{'; seccomp is off' if own_process.seccomp == 0 else ''}",
        hint,
        evidence=confinement.evidence(reader),
    )


def _not_even_looked_at(reader: Reader, path: str) -> Explanation:
    """What refuses stat(2): a directory, or a security module that guards the device itself."""
    directory = permission.unsearchable(reader, path)
    if directory:
        return Explanation(
            Cause.PERMISSION_DENIED,
            f"this process (user {reader.effective_user}) may not search {directory}",
            f"namei -l {path}; {permission.LOOK}",
        )
    suspects = list(confinement.security_modules(reader, errno.EACCES)) or ["a security module"]
    return Explanation(
        Cause.PERMISSION_DENIED,
        f"every directory on the path can be searched, and yet it may not be looked at: what refuses it is "
        f"{' or '.join(suspects)}",
        _look_at_modules(path),
        evidence=confinement.evidence(reader),
    )


def _is_nodev(reader: Reader, path: str) -> bool:
    try:
        return bool(reader.statvfs(path).f_flag & os.ST_NODEV)
    except OSError:  # the mode tells more
        return False


def _nodev(reader: Reader, path: str) -> Explanation:
    mount = mountinfo.holding(mountinfo.parse(own(reader, "mountinfo")), path) if reader.root == "/" else None
    where = f" ({mount.kind} at {mount.point})" if mount else ""
    point = mount.point if mount else f'"$(findmnt -nT {path} -o TARGET)"'
    return Explanation(
        Cause.NODEV_MOUNT,
        f"the file system that it is on{where} is mounted nodev",
        f"mount -o remount,dev {point}",
    )


def _in_spite_of_the_mode(
    reader: Reader, path: str, status: os.stat_result, *, asked: bool | None
) -> Explanation:
    """What refuses the open, although owner, mode and ACL do not."""
    suspects = list(confinement.security_modules(reader, errno.EACCES))
    if asked is not False:
        suspects += filter(None, [confinement.seccomp(confinement.of_own_process(reader))])
        if confinement.in_user_namespace(reader):
            suspects.append("a mount that was made in a user namespace, where no device opens")
    unknown = "a security module" if asked is False else confinement.UNLABELLED  # Landlock lets access(2) be
    told = {True: ", and access(2) agrees", False: ", but access(2) refuses it too", None: ""}[asked]
    return Explanation(
        Cause.PERMISSION_DENIED,
        f"{permission.belongs(reader, status)}, which lets user {reader.effective_user} in{told}: what "
        f"refuses it is {' or '.join(suspects or [unknown])}",
        _look_at_modules(path),
        evidence=confinement.evidence(reader),
    )


def _refusing_cgroup(reader: Reader, path: str, *, asked: bool | None) -> str:
    """Names the device cgroup that refuses the device, empty where it does not, or where nothing tells."""
    told = own(reader, "cgroup")
    first, second = cgroup.devices_path(told), cgroup.unified_path(told)
    listed = text(reader, f"/sys/fs/cgroup/devices{first}/devices.list") if first else ""
    try:
        number = reader.stat(path).st_rdev
    except OSError:  # no cgroup refuses to look
        return ""
    major, minor = os.major(number), os.minor(number)
    if listed and not cgroup.allows(listed, major, minor):
        return f"the device cgroup {first}, whose list does not have c {major}:{minor} rw,"
    if asked is not False:
        return ""
    ways = [
        f"{group}, {why}"
        for group, why in (
            (first, "whose list does not show what was taken away"),
            (second, "of version 2, whose BPF program cannot be read"),
        )
        if group and (group != "/" or {first, second} <= {"", "/"})
    ]
    which = f" ({', or '.join(ways)})" if ways else ""
    return f"the device cgroup{which}, which makes access(2) fail too,"


def _look_at_modules(path: str) -> str:
    return (
        f"ls -lZ {path}; cat /proc/self/attr/current; cat /sys/kernel/security/lsm; "
        "dmesg | grep -iE 'apparmor|avc: +denied'"
    )


def _without_filter(reader: Reader) -> str:
    return f"run without the seccomp filter: {(confinement.runtime(reader) or container.OTHER).no_filter}"
