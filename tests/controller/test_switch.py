from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.objects import Memory, Meta, Runtime
from controller.switch import Obstacle, VMs, annotation_trouble, gate_is_open, must_ask_for_vms, position


def runtime(*, enabled: bool, in_force: bool, force: str | None = None) -> Runtime:
    return Runtime(Meta("vmruntime"), enabled=enabled, force_disable=force, memory=Memory(enabled=in_force))


@pytest.mark.parametrize(
    ("enabled", "in_force", "vms", "force", "after", "obstacle"),
    [
        (False, False, VMs.SOME, None, False, Obstacle.NOTHING),
        (True, False, VMs.SOME, None, True, Obstacle.NOTHING),
        (True, True, VMs.SOME, "true", True, Obstacle.NOTHING),
        # spec.md 5, the resource alone: --force counts as false
        (False, True, VMs.NONE, None, False, Obstacle.NOTHING),
        (False, True, VMs.NONE, "true", False, Obstacle.NOTHING),
        (False, True, VMs.SOME, "true", True, Obstacle.WAITING),
        (False, True, VMs.SOME, "false", True, Obstacle.PROTECTED),
        (False, True, VMs.SOME, None, True, Obstacle.PROTECTED),
        (False, True, VMs.SOME, "TRUE", True, Obstacle.PROTECTED),
        (False, True, VMs.UNKNOWN, "true", True, Obstacle.UNKNOWN),
    ],
)
def test_position(
    enabled: bool, in_force: bool, vms: VMs, force: str | None, after: bool, obstacle: Obstacle
):
    decided = position(runtime(enabled=enabled, in_force=in_force, force=force), vms)
    assert decided.in_force is after
    assert decided.obstacle is obstacle


def test_vms_matter_only_while_switching_off():
    assert must_ask_for_vms(runtime(enabled=False, in_force=True))
    assert not must_ask_for_vms(runtime(enabled=True, in_force=True))
    assert not must_ask_for_vms(runtime(enabled=False, in_force=False))


@pytest.mark.parametrize(
    ("value", "named"), [(None, False), ("true", False), ("false", False), ("", True), ("no", True)]
)
def test_a_word_that_is_neither_is_named(value: str | None, named: bool):
    trouble = annotation_trouble(runtime(enabled=True, in_force=True, force=value))
    assert bool(trouble) is named
    assert (repr(value) in trouble) is named


@pytest.mark.parametrize(
    ("enabled", "in_force", "disabling", "passed", "is_open"),
    [
        (False, False, False, False, True),  # gate_open is 1 while disabled
        (False, False, True, False, True),
        (True, True, False, True, True),
        (True, True, False, False, False),
        (True, False, False, False, False),
        (True, True, True, True, False),  # the command line is switching it off
        (False, True, False, True, False),  # switching off waits for virtual machines
    ],
)
def test_the_gate_as_the_metric_shows_it(
    enabled: bool, in_force: bool, disabling: bool, passed: bool, is_open: bool
):
    one = replace(runtime(enabled=enabled, in_force=in_force), disabling=disabling)
    assert gate_is_open(one, passed=passed) is is_open


RUNTIMES = st.builds(
    lambda enabled, in_force, force, disabling: replace(
        runtime(enabled=enabled, in_force=in_force, force=force), disabling=disabling
    ),
    st.booleans(),
    st.booleans(),
    st.none() | st.sampled_from(["true", "false"]) | st.text(),
    st.booleans(),
)


@given(RUNTIMES, st.sampled_from(VMs))
def test_it_goes_off_only_where_that_is_wanted_and_no_machine_is_there(one: Runtime, vms: VMs):
    decided = position(one, vms, "the first: kubectl delete it")
    went_off = one.memory.enabled and not decided.in_force
    assert not went_off or (not one.enabled and vms is VMs.NONE)
    assert decided.in_force or not one.enabled
    assert (decided.obstacle is Obstacle.NOTHING) is (decided.in_force is one.enabled)
    assert decided.message


@given(RUNTIMES, st.lists(st.sampled_from(VMs), min_size=1))
def test_where_it_ends_depends_on_the_last_look_alone(one: Runtime, looks: list[VMs]):
    now = one
    for vms in [*looks, VMs.NONE]:
        now = replace(now, memory=Memory(enabled=position(now, vms).in_force))
    assert now.memory.enabled is one.enabled


@given(RUNTIMES, st.booleans())
def test_the_gate_is_shut_while_it_is_switched_off(one: Runtime, passed: bool):
    ending = one.memory.enabled and not one.enabled
    assert not (ending and gate_is_open(one, passed=passed))
