"""Scenarios are data: whether they are right is what a machine tells, whether they can be is told here."""

import shlex
import subprocess
import sys

import golden
import pytest

from lab.scenario import SEEN, Scenario
from lab.scenarios import SCENARIOS
from preflight.result import Status

CHECKS = {check.name: check for check in golden.checks()}

each = pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])


def test_names_are_unique() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert sorted(names) == sorted(set(names))


def test_trees_are_unique() -> None:
    trees = [scenario.tree for scenario in SCENARIOS if scenario.tree]
    assert sorted(trees) == sorted(set(trees))


@each
def test_the_name_begins_with_the_architecture(scenario: Scenario) -> None:
    assert scenario.name.startswith(f"{scenario.kernel.architecture.name}/")


@each
def test_the_truth_is_one_that_the_check_can_tell(scenario: Scenario) -> None:
    told = {(outcome.status.value, outcome.reason) for outcome in CHECKS["KVM"].outcomes}
    assert (scenario.truth.status, scenario.truth.reason) in told


@each
def test_others_are_what_their_checks_can_tell(scenario: Scenario) -> None:
    """An advisory check's Fail is shown as Warn."""
    for name, told in scenario.truth.others.items():
        status, _, reason = told.partition(" ")
        assert Status(status)
        assert reason in {outcome.reason for outcome in CHECKS[name].outcomes}


@each
def test_a_pass_is_what_the_oracle_sees(scenario: Scenario) -> None:
    assert (scenario.truth.status == "Pass") == (scenario.truth.oracle in SEEN)


@each
def test_shell_lines_are_shell(scenario: Scenario) -> None:
    for line in (*scenario.setup, *scenario.truth.facts):
        assert shlex.split(line, comments=False)
        subprocess.run(("sh", "-n", "-c", line), check=True)


@each
def test_qemu_takes_options_in_pairs(scenario: Scenario) -> None:
    assert all(name.startswith("-") for name in scenario.machine[::2])
    assert len(scenario.machine) % 2 == 0


def test_the_list_is_printed_without_a_machine() -> None:
    listed = subprocess.run(
        (sys.executable, "-m", "lab", "--list"), capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == [scenario.name for scenario in SCENARIOS]


def test_a_name_that_is_none_is_refused() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "lab", "x86/nothing"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "x86/nothing" in done.stderr
