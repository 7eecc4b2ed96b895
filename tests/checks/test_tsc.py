"""The check TSC: flags and clocks, what the kernel's log says, and other architectures."""

import errno

import machines
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import MemoryHost, Node

from checks import tsc as module
from checks.tsc import CPUINFO, CURRENT, KNOWN, STEADY, tsc
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome, Status

STEADY_CPU = machines.x86(*sorted(STEADY))
GUEST = machines.x86(*sorted(STEADY), "hypervisor")
SKEW = "timekeeping watchdog on CPU3: Marking clocksource 'tsc' as unstable because the skew is too large:"


def clock(current: str, known: str) -> dict[str, str | Node]:
    return {CPUINFO: STEADY_CPU, CURRENT: f"{current}\n", KNOWN: f"{known} \n"}


@pytest.mark.parametrize(
    ("files", "log", "outcome", "words"),
    [
        (clock("tsc", "tsc hpet acpi_pm"), (), module.INVARIANT, "clock is tsc"),
        (
            clock("hyperv_clocksource_tsc_page", "hyperv_clocksource_tsc_page acpi_pm"),
            (),
            module.INVARIANT,
            "hyperv",
        ),
        ({**clock("kvm-clock", "kvm-clock tsc"), CPUINFO: GUEST}, (), module.OTHER_CLOCK, "kvm-clock"),
        ({**clock("kvm-clock", "kvm-clock"), CPUINFO: GUEST}, (), module.OTHER_CLOCK, "kvm-clock"),
        (clock("hpet", "tsc hpet"), (SKEW,), module.OTHER_CLOCK, "clock is hpet"),
        (clock("hpet", "hpet acpi_pm"), ("a line", SKEW), module.UNSTABLE, "skew is too large"),
        (
            {**clock("acpi_pm", "acpi_pm"), CPUINFO: GUEST},
            ("tsc: Marking TSC unstable due to clocksource watchdog",),
            module.UNSTABLE,
            "due to clocksource watchdog",
        ),
        (clock("hpet", "hpet acpi_pm"), (), module.UNSTABLE, "does not tell why"),
        (clock("hpet", "hpet acpi_pm"), errno.EPERM, module.UNSTABLE, "does not tell why"),
        (
            {**clock("tsc", "tsc"), CPUINFO: machines.x86("constant_tsc")},
            (),
            module.NOT_INVARIANT,
            "may change, or it may stop",
        ),
        ({CPUINFO: machines.ARM}, (), module.NOT_APPLICABLE, "aarch64"),
        ({CPUINFO: machines.S390}, (), module.NOT_APPLICABLE, "s390x"),
        ({CPUINFO: STEADY_CPU}, (), module.UNREADABLE, CURRENT),
        ({CPUINFO: STEADY_CPU, CURRENT: "tsc\n"}, (), module.INVARIANT, "clock is tsc"),
        ({CPUINFO: STEADY_CPU, CURRENT: "hpet\n"}, (), module.OTHER_CLOCK, "clock is hpet"),
        ({CPUINFO: STEADY_CPU, CURRENT: "hpet\n"}, (SKEW,), module.UNSTABLE, "skew is too large"),
        (clock("tsc", "hpet"), (), module.UNREADABLE, CURRENT),
        ({CPUINFO: "junk", CURRENT: "tsc\n", KNOWN: "tsc\n"}, (), module.UNREADABLE, CPUINFO),
        ({}, (), module.UNREADABLE, "ENOENT"),
        ({CPUINFO: Node(open_errno=errno.EACCES)}, (), module.UNREADABLE, "EACCES"),
    ],
)
def test_machines(
    files: dict[str, str | Node], log: tuple[str, ...] | int, outcome: Outcome, words: str
) -> None:
    host = MemoryHost(files)
    host.log = log if isinstance(log, int) else list(log)
    finding = tsc(host, Run())
    assert finding.outcome is outcome
    assert words in finding.message


LINES = st.lists(
    st.sampled_from([*STEADY_CPU.split("\n"), *machines.ARM.split("\n"), "tsc", "hpet"]) | st.text(max_size=9)
).map("\n".join)


@given(st.dictionaries(st.sampled_from([CPUINFO, CURRENT, KNOWN]), LINES), st.lists(st.text(max_size=20)))
def test_no_text_makes_it_fail_or_pass_wrongly(files: dict[str, str], log: list[str]) -> None:
    host = MemoryHost(files)
    host.log = log
    finding = tsc(host, Run())
    if finding.outcome is module.INVARIANT:
        assert all(flag in files[CPUINFO] for flag in STEADY)
    if finding.outcome.status is Status.PASS:
        (current,), known = files[CURRENT].split(), files.get(KNOWN, "").split()
        assert not known or current in known


def test_this_machine() -> None:
    assert tsc(Host(), Run()).outcome is not module.UNREADABLE
