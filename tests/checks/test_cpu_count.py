"""The check CPUCount, on files of all kinds."""

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import ARM, x86
from memoryhost import MemoryHost, Node

from checks import cpu_count as module
from checks.cpu_count import cpu_count
from linux import cpus
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome

STAT = "cpu  10 0 20 30\ncpu0 5 0 10 15\ncpu3 5 0 10 15\nintr 1 2 3\ncpufreq 7\nctxt 1\n"


@pytest.mark.parametrize(
    ("files", "minimum", "outcome", "words"),
    [
        ({module.ONLINE: "0-3\n"}, 4, module.ENOUGH, "online CPUs: 4, at least 4"),
        ({module.ONLINE: "0-3\n"}, 5, module.TOO_FEW, "online CPUs: 4, at least 5"),
        ({module.ONLINE: "0\n"}, 1, module.ENOUGH, "online CPUs: 1,"),
        ({module.ONLINE: "0-1,4,6-7\n"}, 1, module.ENOUGH, "online CPUs: 5,"),
        ({module.ONLINE: "0\n", module.OFFLINE: "1-3\n"}, 2, module.TOO_FEW, "3 more are offline: 1-3"),
        ({module.ONLINE: "0\n", module.OFFLINE: "\n"}, 2, module.TOO_FEW, "online CPUs: 1"),
        ({module.ONLINE: "junk\n", "/proc/stat": STAT}, 1, module.ENOUGH, "online CPUs: 2,"),
        ({"/proc/stat": STAT, "/proc/cpuinfo": x86(cpus=9)}, 1, module.ENOUGH, "online CPUs: 2,"),
        ({"/proc/cpuinfo": x86(cpus=9)}, 1, module.ENOUGH, "online CPUs: 9,"),
        ({"/proc/cpuinfo": ARM}, 1, module.ENOUGH, "online CPUs: 1,"),
        ({module.ONLINE: Node(open_errno=13)}, 1, module.UNREADABLE, "none of"),
        ({}, 0, module.UNREADABLE, "none of"),
        ({module.ONLINE: "0-99999999999\n", "/proc/stat": "\n"}, 1, module.UNREADABLE, "none of"),
    ],
)
def test_what_is_online_against_the_minimum(
    files: dict[str, Node | str], minimum: int, outcome: Outcome, words: str
) -> None:
    finding = cpu_count(MemoryHost(files), Run(settings={"minimum_cpus": minimum}))
    assert finding.outcome is outcome
    assert words in finding.message


def test_the_command_that_switches_cpus_on_names_them() -> None:
    finding = cpu_count(
        MemoryHost({module.ONLINE: "0\n", module.OFFLINE: "1-3\n"}), Run(settings={"minimum_cpus": 2})
    )
    assert finding.hint is not None
    assert finding.hint.startswith("chcpu -e 1-3;")


def test_this_machine_has_as_many_as_psutil_says() -> None:
    finding = cpu_count(Host(), Run())
    assert finding.outcome is module.ENOUGH
    assert finding.evidence == {module.ONLINE: f"CPUs: {len(psutil.cpu_times(percpu=True))}"}


def test_every_cpu_of_a_long_cpuinfo_is_counted() -> None:
    """8,192 CPUs, the most that a kernel is built for, take more than is read of an ordinary file."""
    padding = f"bugs\t\t: {'x' * 4000}\n"
    text = "".join(f"processor\t: {number}\nflags\t\t: fpu lm\n{padding}" for number in range(8192))
    finding = cpu_count(MemoryHost({module.CPUINFO: text}), Run())
    assert finding.evidence == {module.CPUINFO: "CPUs: 8192"}


@given(st.lists(st.integers(0, cpus.MAX_CPU - 1), min_size=1, unique=True))
def test_every_list_that_a_kernel_writes_is_counted(numbers: list[int]) -> None:
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
    assert cpus.in_list(text + "\n") == len(numbers)


@given(st.text(alphabet="0123456789-, \nx\0") | st.text())
def test_no_text_is_more_cpus_than_a_machine_has(text: str) -> None:
    assert 0 <= cpus.in_list(text) <= cpus.MAX_CPU
    assert cpus.in_stat(text) <= len(text)


@pytest.mark.parametrize(
    "text", ["", "-1", "3-1", "1,1", "2,1", "0-", "0,,1", "\u0661", "0-3;", "1234567", "65536"]
)
def test_what_is_no_list_counts_as_none(text: str) -> None:
    assert cpus.in_list(text) == 0
