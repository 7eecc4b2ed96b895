"""An OCI archive: what is in it, and the file itself (OCI image-spec, image-layout.md)."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

CONTAINERD_NAME = "io.containerd.image.name"
"""Annotation that ``ctr images import`` takes an image's name from."""


class Layer(NamedTuple):
    """A layer of an image.

    Attributes:
        digest: Of the compressed bytes.
        size: Compressed bytes.
        unpacked: Bytes of its tar.
    """

    digest: str
    size: int
    unpacked: int


class Image(NamedTuple):
    """What a built image is.

    Attributes:
        name: Repository and tag.
        digest: Of its manifest, which a registry knows it by.
        platform: Such as ``linux/amd64``.
        labels: Its labels.
        base: Name of the image that it stands on; empty where it is not said.
        layers: Its layers, the base's first; the last is ours.
    """

    name: str
    digest: str
    platform: str
    labels: dict[str, str]
    base: str
    layers: tuple[Layer, ...]


def read(directory: Path) -> Image:
    """Reads the one image of an OCI layout."""
    (entry,) = json.loads((directory / "index.json").read_bytes())["manifests"]
    manifest = _blob(directory, entry["digest"])
    config = _blob(directory, manifest["config"]["digest"])
    layers = (
        Layer(layer["digest"], layer["size"], _unpacked(directory, layer["digest"]))
        for layer in manifest["layers"]
    )
    return Image(
        name=entry["annotations"]["org.opencontainers.image.ref.name"],
        digest=entry["digest"],
        platform=f"{config['os']}/{config['architecture']}",
        labels=config["config"].get("Labels") or {},
        base=manifest.get("annotations", {}).get("org.opencontainers.image.base.name", ""),
        layers=tuple(layers),
    )


def pack(directory: Path, archive: Path) -> None:
    """Packs an OCI layout into one file that ``ctr``, ``docker load``, ``podman`` and ``skopeo`` read."""
    index = json.loads((directory / "index.json").read_bytes())
    for entry in index["manifests"]:
        entry["annotations"][CONTAINERD_NAME] = entry["annotations"]["org.opencontainers.image.ref.name"]
    (directory / "index.json").write_text(json.dumps(index), encoding="ascii")
    unfinished = archive.with_name(f"{archive.name}.part")
    with tarfile.open(unfinished, "w") as file:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(str(path.relative_to(directory)))
            member.size = path.stat().st_size
            with path.open("rb") as content:
                file.addfile(member, content)
    unfinished.replace(archive)


def _path(directory: Path, digest: str) -> Path:
    return directory / "blobs" / digest.replace(":", "/")


def _blob(directory: Path, digest: str) -> Any:
    return json.loads(_path(directory, digest).read_bytes())


def _unpacked(directory: Path, digest: str) -> int:
    with gzip.open(_path(directory, digest)) as layer:
        return layer.seek(0, io.SEEK_END)
