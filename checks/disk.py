"""Is there room for the disks of virtual machines?

Asks statvfs(3) of the file system that the VM image path is on. By default that is the kubelet's root
directory: KubeVirt keeps a VM's ephemeral disks in an ``emptyDir`` (kubevirt: pkg/virt-controller/services/
rendervolumes.go), which the kubelet makes below ``--root-dir``, ``/var/lib/kubelet`` unless it is told
otherwise; on a host without it the directory above counts. What counts as free is what a user other than root
may still take, since QEMU does not run as root.
"""

import os
from typing import NamedTuple

from linux import mountinfo
from linux.errors import words
from preflight.check import BLOCKING, Run, Setting, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, skipping, unknown

PATH = Setting(
    "path",
    "/var/lib/kubelet",
    "Where the disks of VMs lie on the host.",
    pattern=r"/[^\x00-\x1f\x7f]{0,1023}",
)
MINIMUM = Setting("minimum_free_bytes", 1 << 30, "Bytes that must be free there.", minimum=0)

INIT_MOUNTS = "/proc/1/mountinfo"

ENOUGH = passing("Enough")
FREE_IT = "df -h PATH; du -xh --max-depth=2 /var | sort -h | tail; crictl rmi --prune"
TOO_LITTLE = failing("TooLittle", hint=FREE_IT)
COUNT_THEM = "df -i PATH; du -x --inodes --max-depth=2 /var | sort -n | tail"
NO_INODES = failing("NoInodes", hint=COUNT_THEM)
WRITE_IT = 'dmesg | grep -iE "remount|I/O error"; mount -o remount,rw "$(findmnt -no TARGET -T PATH)"'
READ_ONLY = failing("ReadOnly", hint=WRITE_IT)
NOT_THIS_MACHINE = skipping("NotThisMachine")
UNREADABLE = unknown(
    "Unreadable", hint="df -h PATH; set path under [checks.Disk] in the configuration to where VM images lie"
)


class Place(NamedTuple):
    """Where space is looked for.

    Attributes:
        path: The path, or the nearest directory above it that is there.
        space: What the file system says.
    """

    path: str
    space: os.statvfs_result


@check(
    "Disk",
    question="Is there room for the disks of virtual machines?",
    weight=BLOCKING,
    outcomes=(ENOUGH, TOO_LITTLE, NO_INODES, READ_ONLY, NOT_THIS_MACHINE, UNREADABLE),
    reads=("/var/lib/kubelet: statvfs", INIT_MOUNTS),
    source="statvfs(3); kubelet --root-dir; kubevirt: pkg/virt-controller/services/rendervolumes.go",
    settings=(PATH, MINIMUM),
)
def disk(host: Host, run: Run) -> Finding:
    """Compares what is free with the minimum."""
    wanted = run.text(PATH)
    minimum = run.number(MINIMUM)
    if not host.is_own_machine():
        return NOT_THIS_MACHINE(f"{host.root} holds files of another machine, none of its disks")
    try:
        path, space = _place(host, wanted)
    except OSError as error:
        return UNREADABLE(
            f"statvfs of {error.filename}: {words(error.errno or 0)}",
            hint=_on(wanted, "ls -ld PATH; df -h PATH"),
        )
    if not space.f_blocks:
        return UNREADABLE(f"the file system of {path} does not tell its size", hint=_on(path, "df -hT PATH"))
    free = space.f_bavail * space.f_frsize
    there = path if path == wanted else f"{path} ({wanted} is not there)"
    message = f"{_gibibytes(free)} are free at {there}, at least {_gibibytes(minimum)} are asked for"
    evidence = {
        path: f"{free} bytes free of {space.f_blocks * space.f_frsize}",
        f"{path}: inodes": f"{space.f_favail} free of {space.f_files}",
    }
    read_only = _read_only(host, path, space)
    if read_only is None:
        return UNREADABLE(
            f"{message}; whether the host mounts it read-only cannot be seen: {INIT_MOUNTS} cannot be read",
            hint=_on(path, "findmnt -T PATH; in a pod: hostPath / with the host's /proc below it"),
            evidence=evidence,
        )
    if read_only:
        return READ_ONLY(f"{path} is mounted read-only", hint=_on(path, WRITE_IT), evidence=evidence)
    if free < minimum:
        return TOO_LITTLE(message, hint=_on(path, FREE_IT), evidence=evidence)
    # A file system that makes inodes as it needs them (btrfs) says 0 of 0.
    if space.f_files and not space.f_favail:
        return NO_INODES(
            f"{message}; but not one inode of {space.f_files} is free: no file can be made",
            hint=_on(path, COUNT_THEM),
            evidence=evidence,
        )
    return ENOUGH(message, evidence=evidence)


def _place(host: Host, path: str) -> Place:
    """Finds the path, or the nearest directory above it that is there.

    Raises:
        OSError: The kernel's answer; ENOENT where a link on the way leads nowhere.
    """
    while True:
        try:
            return Place(path, host.statvfs(path))
        except (FileNotFoundError, NotADirectoryError):
            if path == "/" or _is_there(host, path):
                raise
            path = path.rstrip("/").rpartition("/")[0] or "/"


def _is_there(host: Host, path: str) -> bool:
    """Whether something stands at the path itself, such as a link that leads nowhere."""
    try:
        host.stat(path, follow=False)
    except OSError:
        return False
    return True


def _read_only(host: Host, path: str, space: os.statvfs_result) -> bool | None:
    """Whether the host cannot write there, None where that cannot be told.

    A pod's mount of the host's root is read-only itself; then the mounts of the host's init tell.
    """
    if not space.f_flag & os.ST_RDONLY:
        return False
    if host.root == "/":
        return True
    resolved = "/" + host.local_path(path)[len(host.root) :].lstrip("/")
    try:
        mount = mountinfo.holding(mountinfo.parse(host.read_text(INIT_MOUNTS)), resolved)
    except OSError:
        return None
    return mount and mount.read_only


def _on(path: str, command: str) -> str:
    """Puts a path into a command, so that a shell takes it as one word."""
    from shlex import quote

    return command.replace("PATH", quote(path))


def _gibibytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
