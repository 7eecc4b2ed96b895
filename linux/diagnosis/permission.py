"""Explains what owner, mode and ACL of a device, or of the directories above it, refuse this process."""

import os
import re
import stat
from collections.abc import Iterator

from linux import acl, device_node
from linux.acl import Decision
from linux.diagnosis import confinement
from linux.diagnosis.cause import Cause, Explanation
from linux.kvm.uapi import PATH
from linux.reader import Reader, text

LOOK = "to look once as root: sudo vm-preflight run"

_MAX_LINKS = 40
"""Symbolic links that the kernel follows in a path (path_resolution(7))."""


def belongs(reader: Reader, status: os.stat_result) -> str:
    """Says whose a file is, and its mode."""
    owner = device_node.name(status.st_uid, text(reader, "/etc/passwd"))
    group = device_node.name(status.st_gid, text(reader, "/etc/group"))
    return f"it belongs to {owner}:{group} with mode {stat.S_IMODE(status.st_mode):04o}"


def explain(reader: Reader, path: str, status: os.stat_result) -> Explanation | None:
    """Explains that owner, mode or ACL refuse to let us read and write; None where they let us."""
    user, groups = reader.effective_user, reader.effective_groups
    # The ACL is asked only where the mode's group bits, its mask, are not empty (fs/namei.c,
    # acl_permission_check).
    entries = _entries(reader, path) if status.st_mode & 0o070 else ()
    decision = acl.decide(entries, status.st_uid, status.st_gid, user, groups) if entries else None
    allowed = (
        decision.allowed
        if decision
        else device_node.may_read_and_write(status.st_mode, status.st_uid, status.st_gid, user, groups)
    )
    unmapped = _unmapped(reader, status)
    if not unmapped and (allowed or _overrides(reader)):
        return None
    because = f"{belongs(reader, status)}, which does not let user {user} in"
    if decision and not decision.allowed:
        limited = f", limited by {decision.mask}" if decision.mask else ""
        because += f": its ACL's entry {decision.entry}{limited} decides"
    if unmapped:
        because += f"; {unmapped}"
    elif user == 0:
        because += "; this process is root without the capability DAC_OVERRIDE"
    return Explanation(
        Cause.PERMISSION_DENIED,
        because,
        _let_in(reader, path, status, decision),
        evidence={f"ACL of {path}": ",".join(map(str, entries))} if entries else {},
    )


def unsearchable(reader: Reader, path: str) -> str:
    """Names the directory on a path that may not be searched, with its owner and mode; empty for none."""
    for directory, entry in _steps(reader, path):
        try:
            reader.readlink(entry)
        except PermissionError:
            try:
                return f"the directory {directory} on the path: {belongs(reader, reader.stat(directory))}"
            except OSError:
                return f"the directory {directory} on the path"
        except OSError:  # no link
            continue
    return ""


def _entries(reader: Reader, path: str) -> tuple[acl.Entry, ...]:
    try:
        return acl.parse(reader.extended_attribute(path, acl.ATTRIBUTE))
    except OSError:  # none, or a file system without
        return ()


def _overrides(reader: Reader) -> bool:
    """Whether mode and ACL are not asked for this process (capabilities(7), CAP_DAC_OVERRIDE)."""
    told = confinement.of_own_process(reader).overrides_modes
    return confinement.is_root(reader) if told is None else told


def _unmapped(reader: Reader, status: os.stat_result) -> str:
    """Says that the device's owner or group has no number in our user namespace, empty where both have.

    Such a number shows as the overflow id, and no capability of the namespace's root counts for the file
    (user_namespaces(7)).
    """
    if not confinement.in_user_namespace(reader):
        return ""
    overflow = {"65534", text(reader, "/proc/sys/kernel/overflowuid").strip()}
    if not {str(status.st_uid), str(status.st_gid)} & overflow:
        return ""
    return (
        "this process is in a user namespace that does not know its owner or group, so that root there is "
        "an ordinary user to it"
    )


def _let_in(reader: Reader, path: str, status: os.stat_result, decision: Decision | None) -> str:
    """The command that lets this process in."""
    if confinement.is_root(reader):
        return (
            f"chown root:kvm {path} && chmod 660 {path}; in a container: docker run --cap-add DAC_OVERRIDE …"
        )
    started_by = confinement.runtime(reader)
    if started_by is not None:
        return started_by.group.replace("PATH", path).replace("GID", str(status.st_gid))
    if confinement.in_user_namespace(reader):
        return f"leave the user namespace; {LOOK}"
    if path != PATH:  # who runs VMs may open it all the same: only a look as root tells
        return "sudo vm-preflight run"
    if decision and decision.mask:
        return f"sudo setfacl -m m::rw {path}; {LOOK}"
    if decision and decision.entry.tag == acl.USER and not decision.allowed:
        return f'sudo setfacl -m u:"$USER":rw {path}; {LOOK}'
    join = f'sudo usermod -aG {{}} "$USER", then log in again; {LOOK}'
    groups = text(reader, "/etc/group")
    if status.st_gid == 0 or status.st_mode & 0o060 != 0o060:
        make = "" if re.search("^kvm:", groups, re.MULTILINE) else "sudo groupadd --system kvm && "
        return f"{make}sudo chgrp kvm {path} && sudo chmod 660 {path} && {join.format('kvm')}"
    group = device_node.name(status.st_gid, groups)
    if _will_be_member(reader, status.st_gid):
        return f"sg {group} 'vm-preflight run', or log in again: this session began before you joined {group}"
    return join.format(group)


def _will_be_member(reader: Reader, group: int) -> bool:
    """Whether ``/etc/group`` has our user in a group that this process, which began before, is not in."""
    user = device_node.name(reader.effective_user, text(reader, "/etc/passwd"))
    lines = (line.split(":") for line in text(reader, "/etc/group").split("\n"))
    return any(
        len(fields) > 3 and fields[2] == str(group) and user in fields[3].split(",") for fields in lines
    )


def _steps(reader: Reader, path: str) -> Iterator[tuple[str, str]]:
    """Yields each directory on a path with the entry that is looked up in it, links followed."""
    done, rest, links = "/", path.strip("/").split("/")[::-1], 0
    while rest and links <= _MAX_LINKS:
        entry = os.path.normpath(os.path.join(done, rest.pop()))
        yield done, entry
        try:
            target = reader.readlink(entry)
        except OSError:
            done = entry
            continue
        links += 1
        done = "/" if target.startswith("/") else done
        rest.extend(part for part in reversed(target.split("/")) if part)
