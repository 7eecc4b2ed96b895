"""Checks of very large clusters, and of agents that write as much as they can: what their status takes."""

import json
from collections.abc import Callable

import pytest
from cluster_model import START
from controllerlab import ControllerLab

from cluster import shapes
from cluster.resources import CHECKS, NAMESPACE
from controller import results
from controller.objects import Check, Meta, Runtime
from controller.runs import Progress, finished_status, running_status, started_status
from controller.truncation import LIMIT, size
from controller.verdict import Answer

NODES = 5000
CHECK = Check(Meta("large", "uid"), start=START)
RUNTIME = Runtime(Meta("vmruntime"))


def name(number: int) -> str:
    return f"node-{number:05}.example.internal"


def result(number: int, *, passed: bool, length: int) -> dict[str, object]:
    return {
        "checkName": f"Check{number:03}",
        "status": "Pass" if passed else "Fail",
        "passed": passed,
        "reason": "Because",
        "message": "ä" * length,
        "hint": "" if passed else "h" * length,
    }


def answer(count: int, *, passed: bool, length: int) -> Answer:
    """A node's answer as the controller keeps it."""
    wire = [result(number, passed=passed, length=length) for number in range(count)]
    status = {"runID": "uid", "passed": passed, "results": wire}
    kept = results.preflight({"metadata": {"name": "a"}, "status": status}).status
    assert kept is not None
    return Answer(kept.passed is True, kept.results)


def all_pass() -> dict[str, Answer]:
    return dict.fromkeys(map(name, range(NODES)), answer(22, passed=True, length=300))


def all_fail() -> dict[str, Answer]:
    return dict.fromkeys(map(name, range(NODES)), answer(22, passed=False, length=1024))


def one_fails() -> dict[str, Answer]:
    return all_pass() | {name(4321): answer(22, passed=False, length=1024)}


def ten_are_hostile() -> dict[str, Answer]:
    huge = answer(512, passed=False, length=16384)
    return all_pass() | {name(number): huge for number in range(10)}


ANSWERS = pytest.mark.parametrize("answers", [all_pass, all_fail, one_fails, ten_are_hostile])


@ANSWERS
def test_a_verdict_fits_and_names_every_node(answers: Callable[[], dict[str, Answer]]):
    given = answers()
    wire, verdict = finished_status(CHECK, RUNTIME, given, START)
    assert size(wire) <= LIMIT
    assert len(json.dumps(wire)) < 1_500_000  # the limit of etcd
    assert wire["truncated"] is True
    checks = shapes.mapping(wire, "checks")
    assert set(checks) == set(given)
    assert all(shapes.flag(checks, node, "passed") is given[node].passed for node in given)
    failed = sum(not one.passed for one in given.values())
    assert len(shapes.mapping(wire, "failures")) == min(failed, 10)
    assert verdict.passed is (failed == 0)
    told = shapes.mapping(wire, "featureStatuses", "Check000")
    assert told == ({"passed": True} if verdict.passed else {"passed": False, "failedNodeNum": failed})
    (complete,) = shapes.items(wire, "conditions")
    assert len(shapes.text(complete, "message")) <= 4096


def test_the_one_failed_node_of_many_keeps_every_word():
    wire, _ = finished_status(CHECK, RUNTIME, one_fails(), START)
    (failure,) = shapes.mapping(wire, "failures").values()
    said = shapes.items(failure, "results")
    assert [shapes.text(one, "message") for one in said] == ["ä" * 1024 + "\n" + "h" * 1024] * 22


@pytest.mark.parametrize("answered", [0, 1, NODES - 1])
def test_progress_fits_too(answered: int):
    given = dict(list(all_fail().items())[:answered])
    waiting = {name(number): START for number in range(answered, NODES)}
    wire = running_status(CHECK, RUNTIME, Progress(given, waiting, frozenset()), START)
    assert size(wire) <= LIMIT
    assert set(shapes.mapping(wire, "checks")) == set(map(name, range(NODES)))
    assert size(started_status(CHECK, RUNTIME, map(name, range(NODES)), START)) <= LIMIT


@ANSWERS
def test_the_api_server_takes_it(lab: ControllerLab, answers: Callable[[], dict[str, Answer]]):
    lab.ask("large")
    wire = lab.get(CHECKS, "large", namespace=NAMESPACE)
    status, _ = finished_status(CHECK, RUNTIME, answers(), START)
    path = CHECKS.path("large", namespace=NAMESPACE, subresource="status")
    kept = lab.client.replace(path, {**wire, "status": status})
    assert kept["status"] == status
