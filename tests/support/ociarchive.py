"""Images in a file: archives of the OCI image layout (image-spec: image-layout.md)."""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's names of architectures, where they differ from the kernel's."""
NAME_ANNOTATION = "io.containerd.image.name"
"""What `ctr images import` names an image by, before org.opencontainers.image.ref.name."""
_TYPE = "application/vnd.oci.image"


def write(archive: Path, name: str, files: Mapping[str, bytes], entrypoint: Sequence[str]) -> None:
    """Writes an image of one layer.

    Args:
        archive: Where to.
        name: The image's name.
        files: Content by path without a leading slash; all are executable.
        entrypoint: What runs.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path, content in files.items():
            _add(tar, path, content, mode=0o755)
    packed = gzip.compress(layer.getvalue(), mtime=0)
    machine = platform.machine()
    system = {"architecture": ARCHITECTURES.get(machine, machine), "os": "linux"}
    config = _json(
        {
            **system,
            "config": {"Entrypoint": list(entrypoint)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer.getvalue())]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}.manifest.v1+json",
            "config": _descriptor(f"{_TYPE}.config.v1+json", config),
            "layers": [_descriptor(f"{_TYPE}.layer.v1.tar+gzip", packed)],
        }
    )
    listed = {
        **_descriptor(f"{_TYPE}.manifest.v1+json", manifest),
        "platform": system,
        "annotations": {NAME_ANNOTATION: name},
    }
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": [listed]}))
        for blob in (config, manifest, packed):
            _add(tar, f"blobs/{_digest(blob).replace(':', '/')}", blob)


def rename(archive: Path, name: str, to: Path) -> None:
    """Copies an archive whose image has another name then.

    Raises:
        ValueError: It is not an archive of one image.
    """
    with tarfile.open(archive) as source, tarfile.open(to, "w") as target:
        found = False
        for member in source:
            content = source.extractfile(member)
            if content is None:
                continue  # a directory
            if member.name.removeprefix("./") != "index.json":
                target.addfile(member, content)
                continue
            found = True
            index = json.loads(content.read())
            if len(index["manifests"]) != 1:
                raise ValueError(f"{archive}: {len(index['manifests'])} images, not one")
            index["manifests"][0].setdefault("annotations", {})[NAME_ANNOTATION] = name
            _add(target, "index.json", _json(index))
    if not found:
        raise ValueError(f"{archive}: no index.json: not an archive of the OCI image layout")


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))
