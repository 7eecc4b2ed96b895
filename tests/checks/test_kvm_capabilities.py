"""The check KVMCapabilities: each extension that can be missing on each architecture, and their numbers."""

import errno
import re
from pathlib import Path

import pytest
from machines import registered
from memoryhost import FakeDevice, FakeKVM, MemoryHost
from realkvm import needs_kvm

from checks import kvm_capabilities as module
from checks.kvm_capabilities import kvm_capabilities
from linux.architecture import ARCHITECTURES
from linux.kvm import capabilities
from linux.kvm.capabilities import EXPECTED, NEEDED
from preflight.check import Run
from preflight.host import Host
from preflight.result import Finding, Outcome

HEADER = Path("/usr/include/linux/kvm.h")


def ask(machine: str, **changes: object) -> Finding:
    host = registered(FakeKVM(machine=machine, **changes))  # type: ignore[arg-type] -- FakeKVM's own fields
    host.own_architecture = machine
    before = FakeDevice.open_ones
    finding = kvm_capabilities(host, Run())
    assert FakeDevice.open_ones == before
    assert finding.hint or finding.outcome in (module.COMPLETE, module.NOT_KNOWN)
    return finding


@pytest.mark.parametrize("machine", NEEDED)
def test_all_are_there(machine: str) -> None:
    finding = ask(machine, extensions={capabilities.NR_VCPUS: 8, capabilities.MAX_VCPUS: 1024})
    assert finding.outcome is module.COMPLETE
    assert finding.evidence == {"KVM_CAP_NR_VCPUS": "8", "KVM_CAP_MAX_VCPUS": "1024"}


ONE_MISSING = [
    (machine, name, number, outcome)
    for table, outcome in ((NEEDED, module.MISSING), (EXPECTED, module.WITHOUT_ACCELERATION))
    for machine, wanted in table.items()
    for name, number in wanted.items()
]


@pytest.mark.parametrize(("machine", "name", "number", "outcome"), ONE_MISSING)
def test_each_that_is_missing_is_named(machine: str, name: str, number: int, outcome: Outcome) -> None:
    finding = ask(machine, extensions={number: 0})
    assert finding.outcome is outcome
    assert f"KVM_CAP_{name}" in finding.message
    assert finding.evidence[f"KVM_CAP_{name}"] == "0"


def test_what_stops_qemu_outweighs_what_slows_it() -> None:
    finding = ask("x86_64", extensions={**dict.fromkeys(NEEDED["x86_64"].values(), 0), 0: 0})
    assert finding.outcome is module.MISSING
    assert "IRQCHIP" not in finding.message
    assert finding.evidence["KVM_CAP_IRQCHIP"] == "0"


def test_an_old_kernel_that_knows_no_most_of_vcpus() -> None:
    """Before KVM_CAP_MAX_VCPUS came, NR_VCPUS was the most (kernel: Documentation/virt/kvm/api.rst, 4.7)."""
    finding = ask("x86_64", extensions={capabilities.NR_VCPUS: 4, capabilities.MAX_VCPUS: 0})
    assert finding.evidence["KVM_CAP_MAX_VCPUS"] == "4"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTTY, errno.ENOMEM, errno.EIO])
def test_no_answer_is_unknown(number: int) -> None:
    finding = ask("x86_64", errors={"check_extension": number})
    assert finding.outcome is module.NOT_ANSWERED
    assert errno.errorcode[number] in finding.message


def test_a_device_that_went_away_is_unknown() -> None:
    assert kvm_capabilities(MemoryHost({}), Run()).outcome is module.NOT_ANSWERED


def test_an_architecture_that_is_not_known() -> None:
    assert ask("mips64").outcome is module.NOT_KNOWN
    assert set(NEEDED) == set(ARCHITECTURES)


@needs_kvm
def test_this_machine() -> None:
    finding = kvm_capabilities(Host(), Run())
    assert finding.outcome is module.COMPLETE
    assert int(finding.evidence["KVM_CAP_MAX_VCPUS"]) >= 1


@pytest.mark.skipif(not HEADER.exists(), reason="no kernel headers are installed")
def test_the_numbers_are_those_of_the_header() -> None:
    defined = {
        name: int(number) for name, number in re.findall(r"#define KVM_CAP_(\w+)\s+(\d+)", HEADER.read_text())
    }
    ours = {"NR_VCPUS": capabilities.NR_VCPUS, "MAX_VCPUS": capabilities.MAX_VCPUS}
    for wanted in (*NEEDED.values(), *EXPECTED.values()):
        ours |= wanted
    assert ours == {name: defined[name] for name in ours}
