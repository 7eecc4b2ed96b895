"""The check SecureGuest: what KVM offers, what only the CPU could, and other architectures."""

import errno

import machines
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import MemoryHost, Node

from checks import secure_guest as module
from checks.secure_guest import CPUINFO, KINDS, ULTRAVISOR, secure_guest
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome, Status

AMD = "/sys/module/kvm_amd/parameters"
TDX = "/sys/module/kvm_intel/parameters/tdx"
EPYC = machines.x86("svm", "sev", "sev_es", "sev_snp")


@pytest.mark.parametrize(
    ("files", "outcome", "words"),
    [
        ({CPUINFO: machines.x86("svm")}, module.NONE_FOUND, "neither"),
        ({CPUINFO: machines.x86("vmx"), TDX: "N\n"}, module.NONE_FOUND, "neither"),
        (
            {CPUINFO: EPYC, f"{AMD}/sev": "Y\n", f"{AMD}/sev_es": "Y\n", f"{AMD}/sev_snp": "N\n"},
            module.AVAILABLE,
            "KVM offers AMD SEV-ES, AMD SEV",
        ),
        ({CPUINFO: EPYC, f"{AMD}/sev": "1\n"}, module.AVAILABLE, "KVM offers AMD SEV"),
        ({CPUINFO: machines.x86("vmx", "tdx_host_platform"), TDX: "Y\n"}, module.AVAILABLE, "Intel TDX"),
        ({CPUINFO: EPYC, f"{AMD}/sev_snp": "N\n"}, module.NOT_ENABLED, "sev_snp says N"),
        ({CPUINFO: EPYC}, module.NOT_ENABLED, "there is no"),
        ({CPUINFO: machines.x86("tdx_host_platform"), TDX: "N\n"}, module.NOT_ENABLED, "Intel TDX"),
        ({CPUINFO: machines.S390, ULTRAVISOR: "1\n"}, module.AVAILABLE, "Secure Execution"),
        ({CPUINFO: machines.S390, ULTRAVISOR: "0\n"}, module.NOT_ENABLED, "prot_virt=1"),
        ({CPUINFO: machines.S390, ULTRAVISOR: "?\n"}, module.UNREADABLE, "tells nothing"),
        ({CPUINFO: machines.S390, "/sys/firmware/ipl/device": ""}, module.NONE_FOUND, "no Secure Execution"),
        ({CPUINFO: machines.S390}, module.UNREADABLE, "tells nothing"),
        ({CPUINFO: machines.ARM}, module.NOT_APPLICABLE, "aarch64"),
        ({CPUINFO: machines.POWER}, module.NOT_APPLICABLE, "ppc64le"),
        ({CPUINFO: "nonsense\n"}, module.NOT_APPLICABLE, "this architecture"),
        ({CPUINFO: "", "/proc/sys/kernel/arch": "x86_64\n"}, module.UNREADABLE, "no CPU"),
        ({}, module.UNREADABLE, "ENOENT"),
        ({CPUINFO: Node(open_errno=errno.EACCES)}, module.UNREADABLE, "EACCES"),
    ],
)
def test_machines(files: dict[str, str | Node], outcome: Outcome, words: str) -> None:
    finding = secure_guest(MemoryHost(files), Run())
    assert finding.outcome is outcome
    assert words in finding.message


PARAMETERS = [path for _, path, _ in KINDS]
LINES = st.lists(
    st.sampled_from([*EPYC.split("\n"), *machines.S390.split("\n"), "Y", "1", "N"]) | st.text(max_size=9)
).map("\n".join)


@given(st.dictionaries(st.sampled_from([CPUINFO, ULTRAVISOR, *PARAMETERS]), LINES))
def test_no_text_makes_it_fail_or_pass_wrongly(files: dict[str, str]) -> None:
    finding = secure_guest(MemoryHost(files), Run())
    if finding.outcome is module.AVAILABLE:
        assert any(files.get(path, "").strip() in ("Y", "1") for path in (*PARAMETERS, ULTRAVISOR))
    elif finding.outcome.status is Status.PASS:
        assert CPUINFO in files


def test_an_enormous_cpuinfo_is_not_read_to_its_end() -> None:
    files = {CPUINFO: machines.x86("svm", "sev", cpus=40_000)}
    assert secure_guest(MemoryHost(files), Run()).outcome is module.NOT_ENABLED


def test_this_machine() -> None:
    assert secure_guest(Host(), Run()).outcome in secure_guest.outcomes
