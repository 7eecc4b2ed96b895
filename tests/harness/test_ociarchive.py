"""Images in a file."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import ociarchive
import pytest


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar)
        return {name: file.read() for name, file in files if file is not None}


def test_an_image_is_found_by_its_digests(tmp_path: Path) -> None:
    archive = tmp_path / "pause.tar"
    ociarchive.write(archive, "localhost/pause:1", {"pause": b"program"}, ["/pause"])

    files = contents(archive)
    for name, content in files.items():
        if name.startswith("blobs/sha256/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    [listed] = json.loads(files["index.json"])["manifests"]
    assert listed["annotations"] == {ociarchive.NAME_ANNOTATION: "localhost/pause:1"}
    manifest = json.loads(files[f"blobs/{listed['digest'].replace(':', '/')}"])
    config = json.loads(files[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    layer = gzip.decompress(files[f"blobs/{manifest['layers'][0]['digest'].replace(':', '/')}"])
    assert config["config"]["Entrypoint"] == ["/pause"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        [member] = tar.getmembers()
        assert (member.name, member.mode) == ("pause", 0o755)


def test_a_renamed_image_differs_in_its_name_alone(tmp_path: Path) -> None:
    archive, renamed = tmp_path / "one.tar", tmp_path / "two.tar"
    ociarchive.write(archive, "localhost/one:1", {"pause": b"program"}, ["/pause"])
    ociarchive.rename(archive, "registry.example/two:2", renamed)

    one, two = contents(archive), contents(renamed)
    index = json.loads(two.pop("index.json"))
    assert index["manifests"][0]["annotations"] == {ociarchive.NAME_ANNOTATION: "registry.example/two:2"}
    del one["index.json"]
    assert one == two


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"manifest.json": b"[]"}, "no index.json: not an archive of the OCI image layout"),
        ({"index.json": b'{"manifests": [{}, {}]}'}, "2 images, not one"),
    ],
)
def test_what_is_no_archive_of_one_image(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    archive = tmp_path / "other.tar"
    with tarfile.open(archive, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    with pytest.raises(ValueError, match=said):
        ociarchive.rename(archive, "name", tmp_path / "to.tar")
