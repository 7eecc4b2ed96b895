"""Tests put a tree of files in the host's place, and compare outcomes by identity."""

from pathlib import Path

import pytest
from rng_check import AVAILABLE, CURRENT, MISSING, UNREADABLE, hardware_random

from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome


@pytest.mark.parametrize(
    ("contents", "outcome"),
    [("virtio_rng.0\n", AVAILABLE), ("none\n", MISSING), ("", MISSING), (None, MISSING)],
)
def test_what_the_kernel_says(tmp_path: Path, contents: str | None, outcome: Outcome) -> None:
    file = tmp_path / CURRENT.lstrip("/")
    file.parent.mkdir(parents=True)
    if contents is not None:
        file.write_text(contents)
    assert hardware_random(Host(str(tmp_path)), Run()).outcome is outcome


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / CURRENT.lstrip("/")).mkdir(parents=True)
    assert hardware_random(Host(str(tmp_path)), Run()).outcome is UNREADABLE
