"""The check CPU: every reason, and that it never speaks against a guest that ran."""

import machines
import pytest
from memoryhost import MemoryHost

from checks import cpu as module
from checks.cpu import cpu
from preflight.check import Run
from preflight.result import Finding, Outcome, Status, failing, passing, unknown

WORKS = {"KVM": Finding(passing("GuestRan"), "")}
BROKEN = {"KVM": Finding(failing("DeviceMissing", hint="mknod"), "")}
REFUSED = {"KVM": Finding(unknown("PermissionDenied", hint="sudo"), "")}
SOME = machines.x86("svm", cpus=1) + "\n" + "\n".join(machines.x86(cpus=3).split("\n\n")[1:])

TABLE = [
    (machines.x86("vmx"), BROKEN, module.FLAG_PRESENT, "all 2 CPUs have vmx"),
    (machines.x86("svm"), WORKS, module.FLAG_PRESENT, "svm"),
    (machines.x86(), BROKEN, module.FLAG_MISSING, "none of 2 CPUs"),
    (machines.x86(), {}, module.FLAG_MISSING, "none of 2 CPUs"),
    (machines.x86(), WORKS, module.WORKS_WITHOUT_FLAG, "guests run"),
    (SOME, BROKEN, module.FLAG_ON_SOME_CPUS, "2 of 3 CPUs lack"),
    (SOME, WORKS, module.WORKS_WITHOUT_FLAG, "2 of 3 CPUs lack"),
    (machines.ARM, BROKEN, module.NOT_APPLICABLE, "aarch64"),
    (machines.POWER, BROKEN, module.NOT_APPLICABLE, "ppc64le"),
    (machines.S390.format(sie=" sie"), BROKEN, module.FLAG_PRESENT, "sie"),
    (machines.S390.format(sie=""), BROKEN, module.FLAG_MISSING, "SIE"),
    (machines.RISCV.format(h="h"), BROKEN, module.FLAG_PRESENT, "h"),
    ("", BROKEN, module.UNREADABLE, "empty"),
    ("", WORKS, module.WORKS_WITHOUT_FLAG, "guests run"),
    ("\0\x01 junk", BROKEN, module.UNREADABLE, "empty"),
]


@pytest.mark.parametrize(("text", "findings", "outcome", "words"), TABLE)
def test_cpu(text: str, findings: dict[str, Finding], outcome: Outcome, words: str) -> None:
    finding = cpu(MemoryHost({"/proc/cpuinfo": text}), Run(findings=findings))
    assert finding.outcome is outcome
    assert words in finding.message


UNDECIDED = [
    (machines.x86(), module.FLAG_MISSING_UNDECIDED),
    (SOME, module.FLAG_ON_SOME_UNDECIDED),
]


@pytest.mark.parametrize(("text", "outcome"), UNDECIDED)
def test_a_permission_that_is_lacking_is_not_the_nodes_failure(text: str, outcome: Outcome) -> None:
    host = MemoryHost({"/proc/cpuinfo": text, "/proc/misc": "232 kvm\n"})
    finding = cpu(host, Run(findings=REFUSED))
    assert finding.outcome is outcome
    assert "KVM is registered" in finding.message
    assert cpu(host, Run(findings=BROKEN)).outcome.status is Status.FAIL
    del host.nodes["/proc/misc"]
    assert cpu(host, Run(findings=REFUSED)).outcome.status is Status.FAIL


def test_every_outcome_is_in_a_table() -> None:
    assert {row[2] for row in TABLE} | {row[1] for row in UNDECIDED} == set(cpu.outcomes)


def test_never_fails_where_a_guest_ran() -> None:
    for text, _, _, _ in TABLE:
        finding = cpu(MemoryHost({"/proc/cpuinfo": text}), Run(findings=WORKS))
        assert finding.outcome.status not in (Status.FAIL, Status.UNKNOWN)


def test_an_empty_file_of_a_known_architecture() -> None:
    host = MemoryHost({"/proc/cpuinfo": "", "/proc/sys/kernel/arch": "s390x\n"})
    assert cpu(host, Run()).outcome is module.UNREADABLE


def test_names_no_more_than_a_few_of_many_cpus() -> None:
    text = machines.x86("vmx", cpus=1) + "\n" + "\n".join(machines.x86(cpus=400).split("\n\n")[1:])
    assert "8 …" in cpu(MemoryHost({"/proc/cpuinfo": text}), Run()).message


def test_reads_every_cpu_of_the_largest_machine() -> None:
    """8,192 CPUs, as many as a kernel is built for, with long descriptions; only the last differs."""
    few = machines.x86("vmx", *(f"feature{number}" for number in range(300)), cpus=8191)
    last = machines.x86(cpus=1).replace("processor\t: 0", "processor\t: 8191")
    assert len(few) > 16 << 20
    finding = cpu(MemoryHost({"/proc/cpuinfo": f"{few}\n{last}"}), Run())
    assert finding.outcome is module.FLAG_ON_SOME_CPUS
    assert "1 of 8192 CPUs lack" in finding.message
    assert finding.message.endswith("8191")
