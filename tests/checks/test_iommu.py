"""The check IOMMU: in use, announced by firmware but not in use, absent, and vfio's mode without one."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import MemoryHost, Node

from checks import iommu as module
from checks.iommu import GROUPS, NO_IOMMU, TABLES, UNITS, iommu
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome, Status

KERNEL = {"/sys/kernel/mm/ksm/run": "0\n"}
GROUP = {f"{GROUPS}/0/type": "DMA\n", f"{GROUPS}/11/type": "DMA\n"}


@pytest.mark.parametrize(
    ("files", "outcome", "words"),
    [
        ({**GROUP, f"{UNITS}/dmar0/x": ""}, module.IN_USE, "2 IOMMU groups"),
        (GROUP, module.IN_USE, "2 IOMMU groups"),  # ppc64le registers none in /sys/class/iommu
        ({**GROUP, NO_IOMMU: "N\n"}, module.IN_USE, "2 IOMMU groups"),
        ({**GROUP, NO_IOMMU: "Y\n", f"{UNITS}/ivhd0/x": ""}, module.IN_USE, "2 IOMMU groups"),
        ({**GROUP, NO_IOMMU: "Y\n"}, module.NONE_FOUND, "no IOMMU"),
        (KERNEL, module.NONE_FOUND, "no IOMMU"),
        ({**KERNEL, f"{TABLES}/DMAR": ""}, module.NOT_IN_USE, "intel_iommu=on on the kernel command line"),
        ({**KERNEL, f"{TABLES}/IVRS": ""}, module.NOT_IN_USE, "AMD-Vi"),
        ({**KERNEL, f"{TABLES}/IORT": ""}, module.NOT_IN_USE, "Arm SMMU), the kernel does not use it"),
        (
            {**KERNEL, f"{TABLES}/DMAR": "", "/proc/cmdline": "intel_iommu=off quiet"},
            module.NOT_IN_USE,
            "does not use it (intel_iommu=off)",
        ),
        ({}, module.UNREADABLE, GROUPS),
        ({GROUPS: Node(stat_errno=errno.EACCES)}, module.UNREADABLE, "EACCES"),
    ],
)
def test_machines(files: dict[str, str | Node], outcome: Outcome, words: str) -> None:
    finding = iommu(MemoryHost(files), Run())
    assert finding.outcome is outcome
    assert words in finding.message


PATHS = [*GROUP, *KERNEL, f"{GROUPS}/junk", f"{UNITS}/dmar0", f"{TABLES}/DMAR", NO_IOMMU, "/proc/cmdline"]


@given(st.dictionaries(st.sampled_from(PATHS), st.text(max_size=20)))
def test_no_text_makes_it_fail_or_pass_wrongly(files: dict[str, str]) -> None:
    finding = iommu(MemoryHost(files), Run())
    if finding.outcome is module.IN_USE:
        assert GROUP.keys() & files.keys()
    if finding.outcome.status is Status.PASS:
        assert any(path.startswith("/sys/kernel/") for path in files)


def test_this_machine() -> None:
    assert iommu(Host(), Run()).outcome.status is Status.PASS
