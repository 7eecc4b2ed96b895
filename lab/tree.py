"""Root file systems made of Debian's packages, without installing them: no script of theirs is run."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.apt import UnavailableError

_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


def link_usr(root: Path) -> None:
    """Makes an empty directory a root with a merged /usr."""
    for link, target in _LINKS.items():
        (root / target).mkdir(parents=True)
        (root / link).symlink_to(target)


def unpack(files: Sequence[Path], root: Path) -> None:
    """Unpacks packages over each other, through the links of a merged /usr.

    Raises:
        UnavailableError: One cannot be unpacked.
    """
    for file in files:
        with subprocess.Popen(("dpkg-deb", "--fsys-tarfile", file), stdout=subprocess.PIPE) as package:
            options = ("--keep-directory-symlink", "--no-same-owner", "--exclude=./dev/*")
            tar = subprocess.run(("tar", "-x", "-C", root, *options), stdin=package.stdout, check=False)
        if package.returncode or tar.returncode:
            raise UnavailableError(f"{file.name} cannot be unpacked")


def strip(root: Path, patterns: Sequence[str]) -> None:
    """Removes what patterns (`pathlib.Path.glob`) find."""
    for pattern in patterns:
        for path in root.glob(pattern):
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
