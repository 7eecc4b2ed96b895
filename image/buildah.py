"""Calls of buildah(1). Chroot isolation: it needs no OCI runtime, and works inside containers."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from image.failure import FailedError


def build(context: Path, *options: str, timestamp: int) -> None:
    """Builds the Dockerfile of a directory; what it prints goes to standard error.

    Args:
        context: The directory.
        options: Further options of ``buildah build``.
        timestamp: Seconds since the epoch that every file and the image itself get (reproducible-builds.org,
            SOURCE_DATE_EPOCH).

    Raises:
        FailedError: It did not build.
    """
    fixed = ("--isolation", "chroot", "--format", "oci", "--identity-label=false")
    done = subprocess.run(
        [*_program("build"), *fixed, "--timestamp", str(timestamp), *options, str(context)],
        stdout=2,
        check=False,
    )
    if done.returncode:
        raise FailedError("buildah could not build the image; what it said stands above")


def has(image: str) -> bool:
    """Tells whether an image is in the storage."""
    return _call("inspect", "--type", "image", image).returncode == 0


def pull(image: str, architecture: str) -> str:
    """Fetches an image where it is not in the storage; returns why that failed, empty when it is there."""
    if image.startswith("localhost/"):
        return "" if has(image) else "it is not in buildah's storage"
    done = _call("pull", "--policy", "missing", "--arch", architecture, image)
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1].removeprefix("Error: ")


def export(image: str, directory: Path) -> None:
    """Writes an image as an OCI layout.

    Raises:
        FailedError: It cannot be written.
    """
    _output("push", "--format", "oci", image, f"oci:{directory}:{image}")


@contextmanager
def mounted(image: str) -> Iterator[str]:
    """Mounts an image's file system for as long as the context is open.

    Raises:
        FailedError: It cannot be mounted.
    """
    container = _output("from", "--pull-never", image)
    try:
        yield _output("mount", container)
    finally:
        _output("rm", container)


def _output(*arguments: str) -> str:
    done = _call(*arguments)
    if done.returncode:
        raise FailedError(f"buildah {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def _call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_program(*arguments), capture_output=True, text=True, check=False)


def _program(*arguments: str) -> Sequence[str]:
    if shutil.which("buildah") is None:
        raise FailedError(
            "buildah is not installed (Debian: apt install buildah); docker build . works as well"
        )
    return ("buildah", *arguments)
