"""Explains why this process may not use the device: EACCES and EPERM mean different things.

EACCES comes from the mount, the mode, an ACL, SELinux or Landlock; EPERM from the device cgroup (kernel:
Documentation/admin-guide/cgroup-v2.rst, device controller), seccomp, or another security module.
"""

import os
import stat

from linux import cgroup, device_node, process
from linux.diagnosis.cause import Cause, Explanation
from linux.kvm.uapi import KVM_MINOR, MISC_MAJOR, PATH
from linux.reader import Reader, own, text


def is_root(reader: Reader) -> bool:
    """Whether our process is root, and not that of a user namespace (user_namespaces(7))."""
    uid_map = own(reader, "uid_map")
    return reader.effective_user == 0 and (not uid_map or process.identity_mapped(uid_map))


def access(reader: Reader) -> Explanation:
    """Explains EACCES on opening a character device.

    The kernel looks at ``nodev`` before the mode (fs/namei.c, may_open), so it does not matter whom the mode
    lets in.
    """
    try:
        status = reader.stat(PATH)
        nodev = bool(reader.statvfs(PATH).f_flag & os.ST_NODEV)
    except OSError:
        return Explanation(
            Cause.PERMISSION_DENIED,
            f"this process (user {reader.effective_user}) may not search a directory on the path",
            f"namei -l {PATH}",
        )
    if nodev:
        return Explanation(
            Cause.NODEV_MOUNT,
            "the file system that it is on is mounted nodev",
            f'mount -o remount,dev "$(findmnt -nT {PATH} -o TARGET)"',
        )
    owner = device_node.name(status.st_uid, text(reader, "/etc/passwd"))
    group = device_node.name(status.st_gid, text(reader, "/etc/group"))
    belongs = f"it belongs to {owner}:{group} with mode {stat.S_IMODE(status.st_mode):04o}"
    user = reader.effective_user
    if (user == 0 and is_root(reader)) or device_node.may_read_and_write(
        status.st_mode, status.st_uid, status.st_gid, user, reader.effective_groups
    ):
        return Explanation(
            Cause.PERMISSION_DENIED,
            f"{belongs}, which lets user {user} in: an ACL, a user namespace or a security module does not",
            f"getfacl {PATH}; ls -lZ {PATH}; cat /proc/self/attr/current; sudo ausearch -m avc -ts recent",
        )
    acl = ", and its ACL does not either" if _has_acl(reader) else ""
    return Explanation(
        Cause.PERMISSION_DENIED, f"{belongs}, which does not let user {user} in{acl}", _let_in(status, group)
    )


def _let_in(status: os.stat_result, group: str) -> str:
    join = 'sudo usermod -aG {} "$USER", then log in again; to look once as root: sudo vm-preflight run'
    if status.st_gid != 0 and status.st_mode & 0o060 == 0o060:
        return join.format(group)
    return f"sudo chgrp kvm {PATH} && sudo chmod 660 {PATH} && {join.format('kvm')}"


def _has_acl(reader: Reader) -> bool:
    try:
        return "system.posix_acl_access" in reader.extended_attributes(PATH)
    except OSError:
        return False


def kept_away(reader: Reader, *, opening: bool) -> Explanation:
    """Explains EPERM, as far as ``/proc/self`` tells.

    Args:
        reader: The host and our own process.
        opening: It came from ``open(2)``; the device cgroup does not look at ioctls.
    """
    path = cgroup.devices_path(own(reader, "cgroup"))
    allowed = text(reader, f"/sys/fs/cgroup/devices{path}/devices.list") if path else ""
    if opening and allowed and not cgroup.allows(allowed, MISC_MAJOR, KVM_MINOR):
        return Explanation(
            Cause.DEVICE_CGROUP_DENIED,
            f"the device cgroup {path} of this process does not allow c {MISC_MAJOR}:{KVM_MINOR} rw",
        )
    seccomp = process.parse(own(reader, "status")).seccomp
    label = own(reader, "attr/current").strip("\0\n ")
    suspects = ["the device cgroup"] if opening and not allowed else []
    if seccomp:
        suspects.append("seccomp (a filter is in force)")
    if label not in ("", "unconfined", "kernel"):
        suspects.append(f"the security module ({label})")
    because = " or ".join(suspects or ["a security module"])
    off = "; seccomp is off" if seccomp == 0 else ""
    hint = (
        None
        if opening
        else "run without the seccomp filter: seccompProfile: {type: Unconfined}, or docker run "
        "--security-opt seccomp=unconfined"
    )
    return Explanation(
        Cause.DEVICE_CGROUP_DENIED, f"{because} keeps this process from it{off}", hint if seccomp else None
    )
