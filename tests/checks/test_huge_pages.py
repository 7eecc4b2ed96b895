"""The check HugePages: sizes, NUMA nodes, a configured minimum, and kernels without."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import MemoryHost, Node

from checks import huge_pages as module
from checks.huge_pages import NODES, ROOT, TRANSPARENT, huge_pages
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome, Status


def pages(kibibytes: int, number: int | str, free: int | str = 0) -> dict[str, str | Node]:
    directory = f"{ROOT}/hugepages-{kibibytes}kB"
    return {f"{directory}/nr_hugepages": f"{number}\n", f"{directory}/free_hugepages": f"{free}\n"}


SMALL, LARGE = 2048, 1 << 20


@pytest.mark.parametrize(
    ("files", "minimum", "outcome", "words"),
    [
        ({**pages(SMALL, 0), **pages(LARGE, 0)}, 0, module.NONE_RESERVED, "no huge page"),
        ({**pages(SMALL, 0), TRANSPARENT: "always [madvise] never\n"}, 0, module.NONE_RESERVED, "madvise"),
        ({**pages(SMALL, 512, 100), **pages(LARGE, 0)}, 0, module.RESERVED, "512 of 2 MiB (100 free)"),
        (
            {**pages(LARGE, 4), **pages(SMALL, 1)},
            0,
            module.RESERVED,
            "1 of 2 MiB (0 free), 4 of 1 GiB (0 free)",
        ),
        ({**pages(64, 1), **pages(16 << 20, 1)}, 0, module.RESERVED, "1 of 64 KiB (0 free), 1 of 16 GiB"),
        (pages(SMALL, 512), 1 << 30, module.RESERVED, "512 of 2 MiB"),
        (pages(SMALL, 511), 1 << 30, module.TOO_FEW, "1 GiB are asked for"),
        ({"/sys/kernel/mm/ksm/run": "0\n"}, 0, module.NOT_SUPPORTED, "no huge pages"),
        ({"/sys/kernel/mm/ksm/run": "0\n"}, 1, module.TOO_FEW, "no huge page is reserved"),
        (pages(SMALL, "many"), 0, module.UNREADABLE, "holds no number"),
        (pages(SMALL, "-1"), 0, module.UNREADABLE, "holds no number"),
        ({f"{ROOT}/hugepages-2048kB/x": ""}, 0, module.UNREADABLE, "ENOENT"),
        ({f"{ROOT}/something/nr_hugepages": "1"}, 0, module.UNREADABLE, "no size"),
        ({ROOT: Node(stat_errno=errno.EACCES)}, 0, module.UNREADABLE, "EACCES"),
        ({ROOT: "a file"}, 0, module.UNREADABLE, "ENOTDIR"),
        ({}, 0, module.UNREADABLE, "/sys/kernel/mm"),
    ],
)
def test_machines(files: dict[str, str | Node], minimum: int, outcome: Outcome, words: str) -> None:
    finding = huge_pages(MemoryHost(files), Run(settings={"minimum_bytes": minimum}))
    assert finding.outcome is outcome
    assert words in finding.message


def test_the_numa_nodes_are_told() -> None:
    files = pages(LARGE, 8, 8)
    for node, number in ((0, 6), (1, 2), (10, 0)):
        files[f"{NODES}/node{node}/hugepages/hugepages-{LARGE}kB/nr_hugepages"] = f"{number}\n"
    finding = huge_pages(MemoryHost({**files, f"{NODES}/online": "0-1,10\n"}), Run())
    assert "8 of 1 GiB (8 free; node0 6, node1 2, node10 0)" in finding.message


@given(
    st.dictionaries(
        st.sampled_from([*pages(SMALL, 0), TRANSPARENT, f"{NODES}/node0/hugepages/x", f"{ROOT}/junk"]),
        st.text(max_size=20) | st.integers().map(str),
    )
)
def test_no_text_makes_it_fail_or_pass_wrongly(files: dict[str, str]) -> None:
    finding = huge_pages(MemoryHost(files), Run())
    if finding.outcome.status is Status.PASS:
        assert all(files[path].strip().isdigit() for path in pages(SMALL, 0))


def test_this_machine() -> None:
    finding = huge_pages(Host(), Run())
    assert finding.outcome in (module.RESERVED, module.NONE_RESERVED, module.NOT_SUPPORTED)
