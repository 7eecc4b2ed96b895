"""The image that the cluster runs, built once more: the same digest, and what is in it starts."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from story import Story

from image import builder, source, starts

REVISION = "org.opencontainers.image.revision"


def blob(packed: tarfile.TarFile, name: str) -> Any:
    """A JSON file of an archive."""
    file = packed.extractfile(name)
    assert file is not None
    return json.load(file)


def read(archive: Path) -> tuple[str, str]:
    """The digest of the image in an archive, and the commit that it was built of."""
    with tarfile.open(archive) as packed:
        [entry] = blob(packed, "index.json")["manifests"]
        manifest = blob(packed, f"blobs/{entry['digest'].replace(':', '/')}")
        config = blob(packed, f"blobs/{manifest['config']['digest'].replace(':', '/')}")
    return entry["digest"], config["config"]["Labels"].get(REVISION, "")


@pytest.fixture
def archive(pytestconfig: pytest.Config) -> Path:
    """The image in its archive, where it was built of what is checked out."""
    if pytestconfig.option.cluster or pytestconfig.option.archive:
        pytest.skip("the image was given: whether it is the same when it is built here is not known")
    revision = source.labels().get(REVISION, "")
    if not revision or revision.endswith("-dirty"):
        pytest.skip("there are changes on the commit: the image may have been built of others")
    if not builder.file_of().exists() or read(builder.file_of())[1] != revision:
        pytest.skip("the image is not of this commit: make image")
    return builder.file_of()


def test_it_is_the_same_again(archive: Path, story: Story) -> None:
    """The image is built anew, and is the same to the last byte."""
    before = archive.read_bytes()
    with story.measure("make image"):
        made, file = builder.build()
    assert made.digest == read(archive)[0]
    assert file.read_bytes() == before
    story.say(f"{made.name}  {made.digest}")


def test_it_starts(archive: Path, story: Story) -> None:
    """Each process starts from it with a read-only root, as 65532, without capabilities."""
    for what, seconds in starts.measure(builder.default_name()):
        story.measured.append((f"vm-preflight {what} starts", seconds))
        story.say(f"{seconds:5.2f} s  {what}")
