"""A base for the image where no registry can be reached: Debian's own Python, unpacked from its packages.

Two of them, with the same Python at the same path. The one that builds has venv and a shell besides; the one
that runs has neither a shell nor anything else that could be called.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from image import buildah
from image.failure import FailedError
from lab import tree
from lab.apt import CACHE, Package, Suite

SUITE = "bookworm"
"""Its Python is the one that the tests run on."""

PYTHON = "python3.11"
RUNS = (
    *(f"{PYTHON}-minimal", f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib", "base-files", "media-types"),
    *("libc6", "libgcc-s1", "zlib1g", "libssl3", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5"),
    *("libuuid1", "libcrypt1", "ca-certificates"),
)
BUILDS = (
    *RUNS,
    *(f"{PYTHON}-venv", "python3-pip-whl", "python3-setuptools-whl", "python3-distutils", "python3-lib2to3"),
    *("dash", "coreutils", "libacl1", "libattr1", "libgmp10", "libselinux1", "libpcre2-8-0"),
)

_LIBRARY = f"usr/lib/{PYTHON}"
_STRIPPED = (
    *(
        "usr/share/[!p]*",
        "usr/share/p[!y]*",
        "var",
        "home",
        "etc/update-motd.d",
        "etc/profile.d",
        "usr/sbin/*",
    ),
    *("usr/lib/*/gconv", "usr/lib/*/engines-3", "usr/lib/*/ossl-modules"),
    # what needs libraries that are not here, and what only a person at a terminal would call
    *(
        f"{_LIBRARY}/{name}"
        for name in ("curses", "sqlite3", "dbm", "test", "lib2to3", "pydoc_data", "turtle.py")
    ),
    *(f"{_LIBRARY}/lib-dynload/{name}.*.so" for name in ("_curses*", "_sqlite3", "_dbm", "nis", "readline")),
)
_USERS = {
    "etc/passwd": "root:x:0:0::/root:/nonexistent\nnonroot:x:65532:65532::/nonexistent:/nonexistent\n",
    "etc/group": "root:x:0:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_DOCKERFILE = 'FROM scratch\nCOPY root /\nENV PATH=/usr/bin\nCMD ["/usr/bin/python3"]\n'


def bases(architecture: str) -> tuple[str, str]:
    """Makes the two, or finds them in buildah's storage.

    Args:
        architecture: As Debian and Go call it, such as ``amd64``.

    Returns:
        Their names: of the one that builds, and of the one that runs.

    Raises:
        FailedError: They cannot be made.
        UnavailableError: Debian's packages cannot be had.
    """
    suite = Suite(SUITE, architecture, CACHE)
    suite.update()
    return _base("build", BUILDS, suite), _base("run", RUNS, suite)


def _base(purpose: str, names: Sequence[str], suite: Suite) -> str:
    packages = [package for package in suite.resolve(names) if package.name in names]
    absent = set(names) - {package.name for package in packages}
    if absent:
        raise FailedError(f"{suite.name} has no package {min(absent)}")
    recipe = Path(__file__).read_bytes() + "\n".join(sorted(map(str, packages))).encode()
    recognised = hashlib.sha256(recipe).hexdigest()[:12]
    image = f"localhost/vm-preflight-base:{SUITE}-{suite.architecture}-{purpose}-{recognised}"
    if not buildah.has(image):
        print(f"Unpacking {len(packages)} packages of Debian {SUITE} to {purpose} on", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="vm-preflight-base-") as directory:
            root = Path(directory, "root")
            root.mkdir()
            _fill(root, packages, suite, stripped=purpose == "run")
            Path(directory, "Dockerfile").write_text(_DOCKERFILE, encoding="ascii")
            of = f"--platform=linux/{suite.architecture}"
            buildah.build(Path(directory), "--quiet", "--tag", image, of, timestamp=0)
    return image


def _fill(root: Path, packages: Sequence[Package], suite: Suite, *, stripped: bool) -> None:
    tree.link_usr(root)
    tree.unpack(suite.fetch(packages), root)
    for directory in ("proc", "sys", "dev", "run", "tmp", "root", "etc/ssl/certs", "usr/lib/ssl"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "usr/bin/python3").symlink_to(PYTHON)
    for file, text in _USERS.items():
        (root / file).write_text(text, encoding="ascii")
    _trust(root)
    if stripped:
        tree.strip(root, _STRIPPED)
    _compile(root)


def _trust(root: Path) -> None:
    """Does what update-ca-certificates(8) does, and the package openssl's links to it."""
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    authorities = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle.write_bytes(b"".join(authority.read_bytes() for authority in authorities))
    shutil.rmtree(root / "usr/share/ca-certificates")
    (root / "usr/lib/ssl/certs").symlink_to("/etc/ssl/certs")
    (root / "usr/lib/ssl/cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")


def _compile(root: Path) -> None:
    """Compiles Python's modules by content, not by time: nothing can be written where they run."""
    command = [
        f"/usr/bin/{PYTHON}",
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        "/usr/lib",
    ]
    done = subprocess.run(
        ["chroot", str(root), *command],
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FailedError(
            f"Python of Debian {SUITE} does not start: {done.stderr.strip() or done.stdout.strip()}"
        )
