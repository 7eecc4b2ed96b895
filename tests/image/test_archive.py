"""Archives of the image: packed from a layout as buildah writes one, and read as people and programs do."""

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from image import archive, table

NAME = "localhost/vm-preflight:0.1.0"


def put(layout: Path, content: bytes) -> dict[str, Any]:
    """Adds a blob; returns its descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An OCI layout with one image of two layers."""
    layout = tmp_path / "layout"
    (layout / "blobs/sha256").mkdir(parents=True)
    config = {
        "os": "linux",
        "architecture": "arm64",
        "config": {"Labels": {"org.opencontainers.image.version": "0.1.0", "other": "x"}},
    }
    layers = [put(layout, gzip.compress(bytes(size), mtime=0)) for size in (3_000_000, 1_500_000)]
    manifest = {
        "config": put(layout, json.dumps(config).encode()),
        "layers": layers,
        "annotations": {"org.opencontainers.image.base.name": "registry.example/python:3.11"},
    }
    entry = put(layout, json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": NAME}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout


def test_the_table_shows_name_platform_layers_and_labels(layout: Path) -> None:
    shown = list(table.lines(archive.read(layout)))
    assert shown[0] == f"{NAME}  linux/arm64"
    assert shown[1].startswith("sha256:")
    rows = [line.split() for line in shown[3:7]]
    assert rows[0] == ["LAYER", "SIZE", "UNPACKED", "OF"]
    assert rows[1][3:] == ["3.0", "MB", "registry.example/python:3.11"]
    assert rows[2][3:] == ["1.5", "MB", "/opt/vm-preflight"]
    assert rows[3] == ["2", "in", "all", "0.0", "MB", "4.5", "MB"]
    assert [line.split() for line in shown[8:]] == [["version", "0.1.0"]]


def test_the_archive_is_named_for_containerd_and_the_same_bytes_again(layout: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    archive.pack(layout, first)
    archive.pack(layout, second)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as packed:
        names = packed.getnames()
        index = packed.extractfile("index.json")
        assert index is not None
        (entry,) = json.load(index)["manifests"]
    assert {"oci-layout", "index.json", f"blobs/{entry['digest'].replace(':', '/')}"} < set(names)
    assert entry["annotations"]["io.containerd.image.name"] == NAME
