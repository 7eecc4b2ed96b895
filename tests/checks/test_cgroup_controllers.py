"""The check CgroupControllers: versions 1 and 2, hybrids, containers, and what took a controller away."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import MemoryHost, Node

from checks import cgroup_controllers as module
from checks.cgroup_controllers import FILE, HYBRID, LIST, ROOT, VERSION_1, VERSION_2, cgroup_controllers
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome, Status

ALL = "cpuset cpu io memory hugetlb pids rdma misc\n"
V2 = f"{ROOT}/{FILE}"
SLICE = f"{ROOT}/kubepods.slice/{FILE}"
HEAD = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"


def rows(**changes: str) -> str:
    """Returns ``/proc/cgroups`` of a version 1 machine, with other rows where they are given."""
    numbers = {name: f"{number}\t9\t1" for number, name in enumerate((*VERSION_1, "cpuacct"), start=2)}
    return HEAD + "".join(f"{name}\t{row}\n" for name, row in {**numbers, **changes}.items() if row)


@pytest.mark.parametrize(
    ("files", "outcome", "words"),
    [
        ({V2: ALL}, module.AVAILABLE, "version 2 has cpu, cpuset, memory and pids"),
        ({V2: ALL, SLICE: ALL}, module.AVAILABLE, "version 2"),
        ({V2: ALL, f"{ROOT}/cgroup.type": "domain\n"}, module.AVAILABLE, "version 2"),
        ({V2: ALL, SLICE: "cpu io memory pids\n"}, module.NOT_DELEGATED, "kubepods.slice was not given"),
        ({V2: ALL, f"{ROOT}/kubepods/{FILE}": "\n"}, module.NOT_DELEGATED, "/kubepods was not"),
        ({V2: "cpu pids\n", f"{ROOT}/cgroup.type": "domain\n"}, module.NOT_VISIBLE, "own cgroup"),
        ({V2: "cpuset cpu pids\n"}, module.CONTROLLER_MISSING, "no memory: this kernel"),
        ({V2: "\n"}, module.CONTROLLER_MISSING, "cpu, cpuset, memory and pids"),
        (
            {V2: "cpuset cpu pids\n", "/proc/cmdline": "quiet cgroup_disable=memory,pressure\n"},
            module.DISABLED_BY_KERNEL_PARAMETER,
            "cgroup_disable=memory",
        ),
        (
            {V2: "cpuset cpu pids\n", LIST: f"{HEAD}memory\t0\t1\t0\n"},
            module.DISABLED_BY_KERNEL_PARAMETER,
            "says that memory is disabled",
        ),
        ({V2: "cpuset cpu pids\n", LIST: rows()}, module.NOT_BOUND, "memory is bound to a version 1"),
        ({LIST: rows()}, module.AVAILABLE, "version 1 has cpu, cpuset, devices, memory and pids"),
        ({LIST: rows(pids="")}, module.CONTROLLER_MISSING, "version 1 has no pids"),
        ({LIST: rows(memory="3\t1\t0")}, module.DISABLED_BY_KERNEL_PARAMETER, "memory is disabled"),
        (
            {LIST: rows(memory="0\t1\t0"), "/proc/cmdline": "cgroup_disable=memory"},
            module.DISABLED_BY_KERNEL_PARAMETER,
            "started with cgroup_disable=memory",
        ),
        ({LIST: rows(cpuset="0\t1\t1")}, module.NOT_BOUND, "cpuset: bound to no"),
        ({LIST: rows(cpuset="0\t1\t1"), HYBRID: "cpuset\n"}, module.NOT_BOUND, "where runtimes do not look"),
        (
            {LIST: rows(**dict.fromkeys((*VERSION_1, "cpuacct"), "0\t1\t1"))},
            module.NOT_VISIBLE,
            "no controller",
        ),
        ({}, module.NOT_VISIBLE, "ENOENT"),
        ({V2: Node(open_errno=errno.EACCES)}, module.NOT_VISIBLE, "EACCES"),
    ],
)
def test_machines(files: dict[str, str | Node], outcome: Outcome, words: str) -> None:
    finding = cgroup_controllers(MemoryHost(files), Run())
    assert finding.outcome is outcome
    assert words in finding.message


LINES = st.lists(
    st.sampled_from([*ALL.split(), "memory\t3\t1\t1", "cpu\t-1\tx\t1", "pids\t0\t1", "cpuset\t٣\t1\t1", "\0"])
    | st.text(max_size=9)
).map("\n".join)


@given(st.dictionaries(st.sampled_from([V2, SLICE, LIST, HYBRID, "/proc/cmdline"]), LINES))
def test_no_text_makes_it_fail_or_pass_wrongly(files: dict[str, str]) -> None:
    finding = cgroup_controllers(MemoryHost(files), Run())
    if finding.outcome.status is Status.PASS:
        needed, path = (VERSION_2, V2) if V2 in files else (VERSION_1, LIST)
        assert all(name in files[path] for name in needed)


def test_this_machine() -> None:
    finding = cgroup_controllers(Host(), Run())
    assert finding.outcome in cgroup_controllers.outcomes
    assert finding.evidence or finding.outcome is module.NOT_VISIBLE
