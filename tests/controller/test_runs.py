"""A run of a check: who is waited for how long, and what counts as an answer."""

from collections.abc import Callable

import pytest
from cluster_model import ClusterModel

from cluster import shapes

HOUR = 3600.0


def running(*names: str) -> ClusterModel:
    """A cluster whose agents are up and whose first check waits for all of them."""
    cluster = ClusterModel()
    for name in names:
        cluster.add_node(name)
    cluster.settle()
    cluster.enable()
    cluster.settle()
    cluster.serve_all()
    return cluster


def check(cluster: ClusterModel) -> dict[str, object]:
    """The first check's status."""
    return cluster.check_status(cluster.created[0])


def ended(cluster: ClusterModel) -> bool:
    return "completionTime" in check(cluster)


def reasons(cluster: ClusterModel) -> dict[str, str]:
    """What is said of each node first."""
    checks = shapes.mapping(check(cluster), "checks")
    return {name: shapes.text(shapes.items(checks, name, "results")[0], "reason") for name in checks}


# clocks


@pytest.mark.parametrize("hours", [1, -1])
def test_another_controller_with_another_clock_fails_nobody_at_once_and_waits_no_hour(hours: int):
    cluster = running("a", "b")
    cluster.answer("a")
    cluster.wait(100)
    cluster.settle()
    cluster.restart()
    cluster.wait(hours * HOUR)
    cluster.settle()
    cluster.wait(110)
    cluster.settle()
    assert not ended(cluster)
    cluster.wait(10)
    cluster.settle()
    assert check(cluster)["pass"] is False
    assert reasons(cluster) == {"a": "GuestRan", "b": "AgentNotAnswering"}


@pytest.mark.parametrize("hours", [1, -1])
def test_an_answer_by_another_clock_counts(hours: int):
    cluster = running("a")
    now = cluster.now
    cluster.wait(hours * HOUR)
    cluster.answer("a")
    cluster.now = now
    cluster.settle()
    assert check(cluster)["pass"] is True


def test_a_controller_that_begins_anew_gives_a_silent_node_its_time_again():
    cluster = running("a")
    cluster.wait(119)
    cluster.restart()
    cluster.settle()
    cluster.wait(60)
    cluster.answer("a")
    cluster.settle()
    assert check(cluster)["pass"] is True


# nodes that change in the middle of a run


def is_deleted(cluster: ClusterModel) -> None:
    cluster.remove_node("b")


def is_skipped(cluster: ClusterModel) -> None:
    cluster.label("b", skip=True)


def is_no_longer_served(cluster: ClusterModel) -> None:
    cluster.nodes["b"]["metadata"]["labels"] = {"kubernetes.io/os": "windows"}  # type: ignore[index]  # JSON


@pytest.mark.parametrize("leaves", [is_deleted, is_skipped, is_no_longer_served])
@pytest.mark.parametrize("answered", [False, True])
def test_a_node_that_leaves_has_no_say(leaves: Callable[[ClusterModel], None], answered: bool):
    cluster = running("a", "b")
    if answered:
        cluster.answer("b", passed=False)
        cluster.settle()
    leaves(cluster)
    cluster.answer("a")
    cluster.settle()
    assert check(cluster)["pass"] is True
    assert set(shapes.mapping(check(cluster), "checks")) == {"a"}


def test_all_nodes_leave():
    cluster = running("a", "b")
    cluster.remove_node("a")
    cluster.label("b", skip=True)
    cluster.settle()
    assert check(cluster)["pass"] is False
    assert shapes.items(check(cluster), "conditions")[0]["reason"] == "NoNodes"


def test_a_node_that_was_skipped_and_is_back_is_waited_for_again():
    cluster = running("a", "b")
    cluster.answer("a")
    cluster.label("b", skip=True)
    cluster.label("b", skip=False)
    cluster.settle()
    assert not ended(cluster)
    cluster.answer("b", passed=False)
    cluster.settle()
    assert check(cluster)["pass"] is False


def test_a_node_that_is_skipped_seen_so_and_back_before_the_end_is_part_of_the_run():
    cluster = running("a", "b")
    cluster.label("b", skip=True)
    cluster.settle()
    cluster.label("b", skip=False)
    cluster.settle()
    cluster.answer_all()
    cluster.settle()
    assert set(shapes.mapping(check(cluster), "checks")) == {"a", "b"}
    assert len(cluster.checks) == 2  # and its label asked for a check of its own


def test_a_node_made_anew_under_the_same_name_does_not_answer_with_its_predecessors_words():
    cluster = running("a", "b")
    cluster.answer("b")
    cluster.answer("a")
    preflight = cluster.preflights["b"]
    cluster.remove_node("b")
    cluster.add_node("b")
    cluster.preflights["b"] = preflight  # the garbage collector has not come yet
    cluster.serve_all()
    cluster.settle()
    assert not ended(cluster)
    cluster.answer("b", passed=False)
    cluster.settle()
    assert check(cluster)["pass"] is False


def test_a_node_with_a_new_name_is_no_part_of_the_run():
    cluster = running("a", "b")
    cluster.answer("a")
    cluster.remove_node("b")
    cluster.add_node("renamed")
    cluster.settle()
    assert set(shapes.mapping(check(cluster), "checks")) == {"a"}


# answers


@pytest.mark.parametrize(
    ("status", "passed"),
    [
        ({"passed": True}, True),
        ({"passed": False}, False),
        ({}, False),
        ({"passed": "true"}, False),
        ({"passed": 1}, False),
        ({"passed": True, "results": [{"checkName": "KVM", "status": "Fail", "passed": False}]}, False),
        ({"passed": True, "results": [{"checkName": "KVM", "status": "Pass", "passed": "yes"}]}, False),
        ({"passed": True, "results": "junk"}, True),
        ({"passed": True, "results": [None, 7]}, True),
        ({"passed": True, "bootID": "of another boot", "completionTime": "yesterday"}, True),
    ],
)
def test_nonsense_is_no_pass(status: dict[str, object], passed: bool):
    cluster = running("a")
    run = shapes.text(cluster.preflights["a"], "spec", "run", "id")
    cluster.preflights["a"]["status"] = {"runID": run, **status}
    cluster.settle()
    assert check(cluster)["pass"] is passed


@pytest.mark.parametrize("run", ["", "of another check", None, 7])
def test_the_answer_to_another_run_is_none(run: object):
    cluster = running("a")
    cluster.preflights["a"]["status"] = {"runID": run, "passed": True}
    cluster.settle()
    assert not ended(cluster)


@pytest.mark.parametrize("status", ["junk", [], 7, None])
def test_a_status_that_is_no_object_is_no_answer(status: object):
    cluster = running("a")
    cluster.preflights["a"]["status"] = status
    cluster.settle()
    cluster.wait(121)
    cluster.settle()
    assert reasons(cluster) == {"a": "AgentNotAnswering"}
