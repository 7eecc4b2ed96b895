"""The image that the cluster runs, built once more: the same digest, and what is in it starts."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from story import Story

from image import buildah, builder, source, starts

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


def test_what_is_left_of_the_package_kubernetes(archive: Path, story: Story) -> None:
    """Kubeconfigs are read by what is in the image: the tests of that pass on it."""
    own = f"python3.{sys.version_info.minor}"
    with buildah.mounted(builder.default_name()) as root:
        [packages] = Path(root).glob("opt/vm-preflight/lib/python3.*/site-packages")
        if packages.parent.name != own:
            pytest.skip(f"the image has {packages.parent.name}, and this is {own}")
        source_of = "import kubernetes; print(kubernetes.__file__)"
        there = {**os.environ, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
        found = subprocess.run(
            [sys.executable, "-c", source_of], env=there, capture_output=True, text=True, check=True
        )
        assert Path(found.stdout.strip()).is_relative_to(packages)
        tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cluster/test_kubeconfig.py"]
        done = subprocess.run(
            [sys.executable, *tests],
            env=there,
            cwd=source.PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    story.say(done.stdout.splitlines()[-1])


def test_it_starts(archive: Path, story: Story) -> None:
    """Each process starts from it with a read-only root, as 65532, without capabilities."""
    for start in starts.measure(builder.default_name()):
        story.measured.append((f"vm-preflight {start.what} starts ({start.cpu:.2f} s of CPU)", start.seconds))
        story.say(f"{start.seconds:5.2f} s  {start.what}")
