"""pid 1 of a machine (machine.py): makes its mounts, tells that they are made, and reaps who is left to it.

Run with a plan in JSON and the file to write when all is ready. It uses the standard library only.
"""

import ctypes
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

# linux/mount.h
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE, MS_SHARED = 0x1000, 0x2000, 0x4000, 1 << 18, 1 << 20
MNT_DETACH = 2

LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2).

    Raises:
        OSError: The kernel refused.
    """
    given = (os.fspath(source).encode(), os.fspath(target).encode(), kind.encode())
    if LIBC.mount(*given, ctypes.c_ulong(flags), options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fspath(target))


def make_devices(staging: Path) -> None:
    """Gives the machine a /dev of its own: the same devices, which can be taken away one by one."""
    mount("dev", staging, "tmpfs", options="mode=755")
    _copy_devices(Path("/dev"), staging)
    for name, kind, options in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5"),
        ("shm", "tmpfs", "mode=1777"),
        ("mqueue", "mqueue", ""),
    ):
        (staging / name).mkdir(exist_ok=True)
        mount(kind, staging / name, kind, options=options)
    (staging / "ptmx").unlink(missing_ok=True)
    (staging / "ptmx").symlink_to("pts/ptmx")
    mount(staging, "/dev", flags=MS_MOVE)


def _copy_devices(source: Path, target: Path) -> None:
    for entry in os.scandir(source):
        made = target / entry.name
        status = entry.stat(follow_symlinks=False)
        if entry.is_symlink():
            made.symlink_to(os.readlink(entry.path))
        elif entry.is_dir():
            made.mkdir(mode=stat.S_IMODE(status.st_mode))
            if not os.path.ismount(entry.path):  # pts, shm and the like are made anew
                _copy_devices(Path(entry.path), made)
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            os.mknod(made, status.st_mode, status.st_rdev)
            os.chmod(made, stat.S_IMODE(status.st_mode))
            os.chown(made, status.st_uid, status.st_gid)


def make_sysfs(staging: Path) -> None:
    """Shows the machine's own network devices in /sys, and the kernel's cgroups below it as they are."""
    mount("/sys/fs/cgroup", staging, flags=MS_BIND | MS_REC)
    mount("sysfs", "/sys", "sysfs")
    mount(staging, "/sys/fs/cgroup", flags=MS_BIND | MS_REC)
    if LIBC.umount2(os.fspath(staging).encode(), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fspath(staging))


def prepare(plan: dict[str, Any]) -> None:
    """Makes everything that the plan asks for.

    Raises:
        OSError: The kernel refused something.
    """
    socket.sethostname(plan["hostname"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # of this network namespace
    if staging := plan.get("devices"):
        make_devices(Path(staging))
    if staging := plan.get("sysfs"):
        make_sysfs(Path(staging))
    for target, source in plan.get("binds", {}).items():
        mount(source, target, flags=MS_BIND)
    for target in plan.get("tmpfs", ()):
        mount("tmpfs", target, "tmpfs", options="mode=755")
    if plan.get("shared"):
        # last: among shared mounts the umount above would take the cgroups below /sys along
        mount("none", "/", flags=MS_SHARED | MS_REC)


def main() -> None:
    """Prepares, tells, and waits for ever."""
    plan, said = json.loads(sys.argv[1]), Path(sys.argv[2])
    said_directory = os.open(said.parent, os.O_PATH)  # the mounts may hide it
    prepare(plan)
    os.close(os.open(said.name, os.O_CREAT | os.O_WRONLY, dir_fd=said_directory))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            continue


if __name__ == "__main__":
    main()
