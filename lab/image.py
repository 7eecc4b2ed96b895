"""What a machine boots: a kernel, and archives for its first file system.

They are made of Debian's packages and this project. Each archive is kept below the cache under a name that is
a hash of what it is made of.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lab import cpio, tree
from lab.apt import CACHE, Suite, UnavailableError
from lab.architecture import Architecture, Kernel

PROJECT = Path(__file__).parents[1]
ARCHIVE = "archive.cpio"
KERNEL = "kernel"
RECIPE = "2"
"""Raised whenever the same packages would make another archive."""

KEPT_SECONDS = 24 * 3600
"""How long an archive is kept once another one has taken its place."""

EVERYWHERE = ("python3", "kmod", "busybox", "util-linux")
_KERNEL_PACKAGE = re.compile(r"linux-(image|binary|modules|base)-\d")
_PYTHON = "usr/lib/python3/dist-packages"
_PURE = ("psutil", "py-cpuinfo")
"""What the checks use beside the standard library."""

_PROGRAM = "#!/usr/bin/python3\nfrom cli.main import entry\nentry()\n"

_STRIPPED = (
    *(
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "usr/share/info",
        "usr/share/perl",
        "usr/share/perl5",
    ),
    *("usr/share/lintian", "usr/share/bash-completion", "usr/share/mime", "usr/share/zsh", "usr/share/gdb"),
    *("usr/lib/*/perl*", "usr/lib/*/gconv", "usr/lib/python3*/test", "usr/lib/python3*/lib2to3"),
    *("usr/lib/python3*/idlelib", "usr/lib/python3*/pydoc_data", "usr/lib/python3*/ensurepip"),
    *("var", "usr/share/python3", "etc/init.d", "usr/lib/systemd", "usr/share/polkit-1"),
)
_USERS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nvm:x:1000:1000::/:/bin/sh\n",
    "etc/group": "root:x:0:\nkvm:x:104:\nnogroup:x:65534:\nvm:x:1000:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "etc/os-release": 'ID=debian\nPRETTY_NAME="vm-preflight lab"\n',
    "etc/hostname": "lab\n",
}


class Image(NamedTuple):
    """What a machine boots.

    Attributes:
        kernel: The kernel's file.
        archives: Archives that make its first file system, in order.
    """

    kernel: Path
    archives: tuple[Path, ...]


def build(kernel: Kernel) -> Image:
    """Makes an image, or finds it in the cache.

    Raises:
        UnavailableError: Something that it needs cannot be had.
    """
    with _alone():
        parts = (_userland(kernel.architecture), _kernel(kernel), _project(kernel.architecture))
        return Image(parts[1] / KERNEL, tuple(part / ARCHIVE for part in parts))


@contextmanager
def _alone() -> Iterator[None]:
    """Keeps a second lab from building at the same time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _kept(kind: str, made_of: Sequence[str], make: Callable[[Path, Path], None]) -> Path:
    """Returns a directory with the archive of a tree, from the cache where it is there.

    Args:
        kind: What it is, for a person who looks at the cache.
        made_of: Everything that it depends on.
        make: Makes the tree in its first argument; into its second, what is to lie beside the archive.
    """
    name = hashlib.sha256("\0".join((RECIPE, kind, *made_of)).encode()).hexdigest()[:16]
    kept = CACHE / f"{kind}-{name}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as directory:
            root, product = Path(directory, "root"), Path(directory, "product")
            root.mkdir()
            product.mkdir()
            make(root, product)
            with (product / ARCHIVE).open("wb") as file:
                cpio.write(str(root), file)
            _forget(kind)
            product.rename(kept)
    return kept


def _forget(kind: str) -> None:
    """Removes what was made of other packages or another work tree, once no machine can be booting it."""
    for old in CACHE.glob(f"{kind}-{'[0-9a-f]' * 16}"):
        if time.time() - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old)


def _compile(root: Path) -> None:
    """Compiles Python's modules, which takes an emulated machine seconds; not those of another Python."""
    own = f"python3.{sys.version_info.minor}"
    if any(path.name != own for path in root.glob("usr/lib/python3.*")):
        return
    options = ("-q", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/")
    _run(sys.executable, "-m", "compileall", *options, str(root / "usr/lib"))


@cache
def _userland(architecture: Architecture) -> Path:
    suite = Suite(architecture.userland, architecture.debian, CACHE)
    suite.update()
    packages = suite.resolve((*EVERYWHERE, *architecture.packages))

    def make(root: Path, _: Path) -> None:
        tree.link_usr(root)
        tree.unpack(suite.fetch(packages), root)
        tree.strip(root, _STRIPPED)
        for directory in ("proc", "sys", "dev", "run", "tmp", "root", "var/lib", "etc/modprobe.d"):
            (root / directory).mkdir(parents=True, exist_ok=True)
        for file, text in _USERS.items():
            (root / file).write_text(text, encoding="ascii")
        for shell in ("sh", "bash"):
            if not (root / "usr/bin" / shell).exists():
                (root / "usr/bin" / shell).symlink_to("busybox")
        _compile(root)

    return _kept(f"userland-{architecture.name}", sorted(map(str, packages)), make)


def _kernel(kernel: Kernel) -> Path:
    """A directory with the kernel and the archive of its modules."""
    suite = Suite(kernel.suite, kernel.architecture.debian, CACHE)
    suite.update()
    packages = [found for found in suite.resolve((kernel.package,)) if _KERNEL_PACKAGE.match(found.name)]
    wanted = kernel.architecture.modules

    def make(root: Path, product: Path) -> None:
        unpacked = product / "unpacked"
        tree.link_usr(unpacked)
        tree.unpack(suite.fetch(packages), unpacked)
        release, image = _find_kernel(kernel, unpacked)
        image.rename(product / KERNEL)
        _take_modules(unpacked, root, release, wanted)
        shutil.rmtree(unpacked)

    return _kept(f"kernel-{kernel.suite}-{kernel.package}", (*map(str, packages), *wanted), make)


def _find_kernel(kernel: Kernel, unpacked: Path) -> tuple[str, Path]:
    """A kernel's release and file: in /boot, from Linux 7 on beside its modules."""
    for image in (unpacked / "boot").glob("vmlinu[xz]-*"):
        return image.name.partition("-")[2], image
    for image in (unpacked / "usr/lib/modules").glob("*/vmlinu[xz]"):
        return image.parent.name, image
    raise UnavailableError(f"{kernel} has no kernel in /boot, and none beside its modules")


def _take_modules(unpacked: Path, root: Path, release: str, wanted: Sequence[str]) -> None:
    """Copies modules and what they depend on, with lists of modules that are right for these (depmod(8))."""
    _run("depmod", "-b", str(unpacked), release)
    source, target = (path / "usr/lib/modules" / release for path in (unpacked, root))
    needs: dict[str, list[str]] = {}
    for line in (source / "modules.dep").read_text(encoding="ascii").splitlines():
        file, _, others = line.partition(":")
        needs[Path(file).name.partition(".ko")[0].replace("-", "_")] = [file, *others.split()]
    for name in wanted:
        for module in needs.get(name, ()):
            (target / module).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / module, target / module)
    target.mkdir(parents=True, exist_ok=True)
    for listed in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy2(source / listed, target / listed)
    (root / "lib").symlink_to("usr/lib")  # where depmod looks
    _run("depmod", "-b", str(root), release)
    (root / "lib").unlink()


@cache
def _project(architecture: Architecture) -> Path:
    """The project as it is installed: a wheel of the work tree, and what the checks use."""
    locked = (PROJECT / "requirements" / "runtime.txt").read_text(encoding="ascii")
    pins = [word for word in locked.split() if word.partition("==")[0] in _PURE]
    with tempfile.TemporaryDirectory(prefix="lab-") as directory:
        build = ("--no-deps", "--no-build-isolation", "--wheel-dir", directory, str(PROJECT))
        _run(sys.executable, "-m", "pip", "wheel", "--quiet", *build)
        (wheel,) = Path(directory).glob("*.whl")

        def make(root: Path, _: Path) -> None:
            target = root / _PYTHON
            target.mkdir(parents=True)
            options = ["--quiet", "--no-deps", "--target", str(target), "--only-binary=:all:", "--no-compile"]
            if architecture.wheels:
                options += ["--platform", architecture.wheels, "--python-version", "3.11"]
            _run(sys.executable, "-m", "pip", "install", *options, str(wheel), *_wheels(architecture, pins))
            shutil.rmtree(target / "bin")
            program = root / "usr/bin/vm-preflight"
            program.parent.mkdir(parents=True)
            program.write_text(_PROGRAM, encoding="ascii")
            program.chmod(0o755)
            _compile(root)

        return _kept(f"project-{architecture.name}", (_digest(wheel), *pins), make)


def _wheels(architecture: Architecture, pins: Sequence[str]) -> Sequence[str]:
    return pins if architecture.wheels else [pin for pin in pins if not pin.startswith("psutil")]


def _digest(wheel: Path) -> str:
    """Of what is in a wheel, whose own bytes hold the time too."""
    with zipfile.ZipFile(wheel) as archive:
        contents = "\n".join(f"{entry.filename} {entry.CRC:08x}" for entry in archive.infolist())
    return hashlib.sha256(contents.encode()).hexdigest()


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except FileNotFoundError:
        raise UnavailableError(f"{command[0]} is not installed") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise UnavailableError(f"{' '.join(command[:4])}: {said[-1]}")
