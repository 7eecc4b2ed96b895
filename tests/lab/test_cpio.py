import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import cpio


def archive(root: Path) -> bytes:
    file = io.BytesIO()
    cpio.write(str(root), file)
    return file.getvalue()


def make(root: Path) -> None:
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "sh").write_bytes(b"#!\n" * 3)
    (root / "bin" / "sh").chmod(0o755)
    (root / "empty").touch(0o640)
    (root / "lib").symlink_to("usr/lib")


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed (package cpio)")
def test_cpio_unpacks_it(tmp_path: Path) -> None:
    made, unpacked = tmp_path / "made", tmp_path / "unpacked"
    make(made)
    unpacked.mkdir()
    subprocess.run(("cpio", "-i", "--quiet"), input=archive(made), cwd=unpacked, check=True)
    assert sorted(path.name for path in unpacked.rglob("*")) == ["bin", "empty", "lib", "sh"]
    assert (unpacked / "bin/sh").read_bytes() == b"#!\n" * 3
    assert (unpacked / "bin/sh").stat().st_mode & 0o777 == 0o755
    assert os.readlink(unpacked / "lib") == "usr/lib"


def test_equal_trees_make_equal_archives(tmp_path: Path) -> None:
    for name in ("one", "other"):
        make(tmp_path / name)
    assert archive(tmp_path / "one") == archive(tmp_path / "other")


def test_every_part_is_aligned(tmp_path: Path) -> None:
    """Archives follow each other: the kernel looks for the next one at a multiple of four."""
    make(tmp_path / "one")
    assert len(archive(tmp_path / "one")) % 4 == 0


def test_what_has_no_contents_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="fifo"):
        archive(tmp_path)
