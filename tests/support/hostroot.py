"""A host root with this machine's `/proc` and `/sys`, and device nodes that tests make and remove."""

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KVM = (10, 232)
TUN = (10, 200)
# include/linux/miscdevice.h


@contextmanager
def host_root(directory: Path) -> Iterator[Path]:
    """Makes a host root with `/dev/kvm` and `/dev/net/tun`; needs root.

    Args:
        directory: Where; made, and empty of mounts afterwards.
    """
    mounted: list[Path] = []
    try:
        for name in ("proc", "sys"):
            (directory / name).mkdir(parents=True)
            subprocess.run(["mount", "--bind", f"/{name}", directory / name], check=True)
            mounted.append(directory / name)
            subprocess.run(["mount", "-o", "remount,bind,ro", directory / name], check=True)
        (directory / "dev" / "net").mkdir(parents=True)
        make_device(directory / "dev" / "net" / "tun", TUN)
        make_device(directory / "dev" / "kvm", KVM)
        yield directory
    finally:
        for path in reversed(mounted):
            subprocess.run(["umount", "--lazy", path], check=True)


def make_device(path: Path, number: tuple[int, int]) -> None:
    """Makes a character device."""
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(*number))
