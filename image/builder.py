"""Builds the image and packs it: what ``make image`` does, and the tests on a real cluster."""

import platform
import sys
import tempfile
from pathlib import Path

from image import archive, buildah, machine, source, standin
from image.failure import FailedError

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x"}
"""What `platform.machine` and images call the same."""


def build(
    name: str = "", *, base: str = "", runtime: str = "", architecture: str = ""
) -> tuple[archive.Image, Path]:
    """Builds the image, into buildah's storage and as an OCI archive below ``dist``.

    Args:
        name: Repository and tag; empty for ``localhost/vm-preflight`` and the version.
        base: Image to build on; empty for the Dockerfile's, or the stand-in where that cannot be pulled.
        runtime: Image to run on; empty for the same.
        architecture: As images call it; empty for this machine's. Another one's programs must run here.

    Returns:
        What was built, and its OCI archive.

    Raises:
        FailedError: It cannot be built.
        UnavailableError: Debian's packages, for the stand-in, cannot be had.
    """
    architecture = architecture or _own_architecture()
    name = name or default_name()
    base, runtime = _bases(base, runtime, architecture)
    with tempfile.TemporaryDirectory(prefix="vm-preflight-image-") as directory:
        labels = [f"--label={label}={value}" for label, value in source.labels().items()]
        bases = [f"--build-arg=BASE={base}", f"--build-arg=RUNTIME={runtime}"]
        of = f"--platform=linux/{architecture}"
        options = [*machine.secrets(Path(directory)), *bases, *labels, of]
        buildah.build(source.PROJECT, *options, f"--tag={name}", timestamp=source.timestamp())
        layout = Path(directory, "layout")
        buildah.export(name, layout)
        made = archive.read(layout)
        file = file_of(architecture)
        file.parent.mkdir(exist_ok=True)
        archive.pack(layout, file)
    return made, file


def default_name() -> str:
    """What an image is called unless it is told otherwise."""
    return f"localhost/vm-preflight:{source.version()}"


def file_of(architecture: str = "") -> Path:
    """Where the archive of an image lies; empty for this machine's architecture."""
    name = f"vm-preflight-{source.version()}-{architecture or _own_architecture()}.oci.tar"
    return source.PROJECT / "dist" / name


def _own_architecture() -> str:
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def _bases(base: str, runtime: str, architecture: str) -> tuple[str, str]:
    wanted = base or source.default_base()
    why = buildah.pull(wanted, architecture)
    if not why:
        return wanted, runtime or wanted
    if base:
        raise FailedError(f"{base} cannot be pulled: {why}")
    print(f"{wanted} cannot be pulled: {why}\nDebian's own Python stands in for it.", file=sys.stderr)
    builds, runs = standin.bases(architecture)
    return builds, runtime or runs
