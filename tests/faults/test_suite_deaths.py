"""The real probe, and the child of a run alone, SIGKILLed in each check of the real suite, at each moment."""

import functools
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import heldsuite
import offspring
import pytest
from agentlab import Lab
from agents_bench import Bench
from controlplane import ControlPlane
from faultyproxy import FaultyProxy
from heldsuite import Moment, Suite
from waiting import until

from cluster import shapes
from preflight.check import ADVISORY, Check

SUITE = heldsuite.real_suite()
MEASURED = {"GuestExitLatency"}
"""What is slow on a machine that is busy, and says so."""
RUNNERS = {"Killed", "Crashed", "TimedOut", "DependencyFailed"}
Reasons = Mapping[str, str]


@pytest.fixture
def bench(installed: ControlPlane, tmp_path: Path) -> Iterator[Bench]:
    with Lab(tmp_path) as lab, FaultyProxy(installed) as proxy, Bench(installed, lab, proxy) as made:
        yield made


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "suite").mkdir()
    return Suite(tmp_path / "suite")


def answered_once(bench: Bench, run: str) -> Reasons:
    """Waits for the answer to a run, and returns the reason that each check has in it."""
    status = bench.answer(run)
    writes = [call for call in bench.proxy.calls if call.writes]
    assert [shapes.text(call.json(), "status", "runID") for call in writes].count(run) == 1
    results = shapes.items(status, "results")
    assert status["passed"] is all(shapes.flag(result, "passed") for result in results)
    return {shapes.text(one, "checkName"): shapes.text(one, "reason") for one in results}


def judge(found: Reasons, right: Reasons, *, but: set[str] = frozenset()) -> None:
    """Holds an answer against a right one, but for some checks."""
    assert found.keys() == right.keys()
    assert {name: found[name] for name in found.keys() - but - MEASURED} == {
        name: right[name] for name in right.keys() - but - MEASURED
    }
    assert not any(found[name] in RUNNERS and found[name] != right[name] for name in MEASURED - but)


def asked(right: Reasons) -> list[Check]:
    """Returns the checks that are asked here: without KVM, those that need it are not."""
    assert right.keys() == {check.name for check in SUITE}
    return [check for check in SUITE if right[check.name] != "DependencyFailed"]


def report(count: int, begun: float) -> None:
    print(f"killed at {count} steps: {time.monotonic() - begun:.0f} s", file=sys.stderr)


@pytest.mark.timeout(900)
def test_the_probe_is_killed_at_each_moment_of_each_check(bench: Bench, suite: Suite, tmp_path: Path):
    """The run is answered once, by the next probe, and rightly; nothing of the dead one is left."""
    probe = heldsuite.start(bench.lab, tmp_path / "suite")
    bench.agent(stable=0)  # it reconnects at once, however often that was needed
    bench.ask("first")
    right = answered_once(bench, "first")
    steps = list(itertools.product(asked(right), Moment))
    begun = time.monotonic()
    for number, (check, moment) in enumerate(steps):
        suite.stop_at(check.name, moment)
        bench.ask(f"run-{number}")
        child = suite.wait_held()
        probe.kill()
        suite.go_on()
        until(functools.partial(offspring.ended, child), f"its child to end: {check.name}, {moment}")
        probe = heldsuite.start(bench.lab, tmp_path / "suite")
        judge(answered_once(bench, f"run-{number}"), right)
    report(len(steps), begun)


@pytest.mark.timeout(900)
def test_the_child_is_killed_at_each_moment_of_each_check(bench: Bench, suite: Suite, tmp_path: Path):
    """As often as it comes there: that check alone is `Killed`. If only once, another child tells."""
    probe = heldsuite.start(bench.lab, tmp_path / "suite")
    bench.agent()
    bench.ask("first")
    right = answered_once(bench, "first")
    passed = bench.passed()
    steps = [(*step, 2) for step in itertools.product(asked(right), Moment)]
    steps += [(check, Moment.WITHIN, 1) for check in asked(right)]
    begun = time.monotonic()
    for number, (check, moment, times) in enumerate(steps):
        run = f"run-{number}"
        suite.stop_at(check.name, moment)
        bench.ask(run)
        # the second time at the same check, or before any other was asked: nothing else can be to blame
        conclusive = 1 if check.name == SUITE[0].name else 2
        for _ in range(min(times, conclusive)):
            os.kill(suite.wait_held(), signal.SIGKILL)
        suite.go_on()
        found = answered_once(bench, run)
        if times < conclusive:
            judge(found, right)
            continue
        others = dependents(check)
        assert found[check.name] == "Killed", (check.name, moment)
        assert not {found[name] for name in others} & (RUNNERS - {"DependencyFailed"})
        judge(found, right, but={check.name, *others})
        assert bench.passed() is (passed and check.weight is ADVISORY)
    assert probe.alive
    report(len(steps), begun)


def dependents(check: Check) -> set[str]:
    """Returns the checks that take one's finding into account, directly and through others."""
    found = {check.name}
    for _ in SUITE:
        found |= {one.name for one in SUITE if found & {*one.needs, *one.after}}
    return found - {check.name}
