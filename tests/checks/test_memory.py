"""The check Memory, on files of all kinds."""

from pathlib import Path

import psutil
import pytest

from checks import memory as module
from checks.memory import memory
from preflight.check import Run
from preflight.host import Host
from preflight.result import Finding, Outcome

MEMINFO = "MemTotal: {total} kB\nMemFree: 1000 kB\nMemAvailable: 1000 kB\nBuffers: 0 kB\nCached: 0 kB\n"


def ask(root: Path, content: bytes, **settings: int) -> Finding:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/meminfo").write_bytes(content)
    return memory(Host(str(root)), Run(settings=settings))


@pytest.mark.parametrize(
    ("total", "minimum", "outcome"),
    [
        (1 << 20, 1 << 30, module.ENOUGH),
        ((1 << 20) - 1, 1 << 30, module.TOO_LITTLE),
        (4 << 20, 5 << 30, module.TOO_LITTLE),
        (0, 0, module.ENOUGH),
    ],
)
def test_total_against_minimum(tmp_path: Path, total: int, minimum: int, outcome: Outcome) -> None:
    finding = ask(tmp_path, MEMINFO.format(total=total).encode(), minimum_bytes=minimum)
    assert finding.outcome is outcome
    assert finding.evidence == {"/proc/meminfo": f"{total * 1024} bytes"}


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\0" * 100,
        b"MemTotal",
        b"MemTotal: x kB\n",
        b"\xff\xfe",
        b"a b c\n" * 9,
        b"MemTotal: 9 MB\n",
        b"MemTotal: -5 kB\n",
        b"MemTotal: " + b"9" * 99 + b" kB\n",
    ],
)
def test_junk_is_no_amount(tmp_path: Path, junk: bytes) -> None:
    assert ask(tmp_path, junk).outcome is module.UNREADABLE


def test_the_file_is_missing(tmp_path: Path) -> None:
    finding = memory(Host(str(tmp_path)), Run())
    assert finding.outcome is module.UNREADABLE


def test_this_machine() -> None:
    assert memory(Host(), Run()).outcome is module.ENOUGH


def test_psutil_says_the_same(tmp_path: Path) -> None:
    finding = memory(Host(), Run())
    assert finding.evidence == {"/proc/meminfo": f"{psutil.virtual_memory().total} bytes"}


def test_memory_set_aside_as_huge_pages_counts_and_is_named(tmp_path: Path) -> None:
    content = MEMINFO.format(total=8 << 20) + "HugePages_Total: 2048\nHugetlb: 4194304 kB\n"
    finding = ask(tmp_path, content.encode())
    assert finding.outcome is module.ENOUGH
    assert finding.message.endswith("; 4.0 GiB of it are set aside as huge pages")
