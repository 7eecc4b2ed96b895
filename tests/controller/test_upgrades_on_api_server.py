"""The cluster is upgraded, on a real API server."""

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from controllerlab import ControllerLab
from mortal import Writes, mortal
from tapped import Call, Tapped

from cluster import shapes
from cluster.resources import CHECKS, NAMESPACE, NODE_PREFLIGHTS
from cluster.transport import Client, Credentials, Object
from controller.silence import Patience
from controller.versions import VERSION_PATH

QUIET = Patience(quiet=timedelta(seconds=1), idle=timedelta(seconds=0.5), versions=timedelta(seconds=1))
NEW = "v1.99.0"


@pytest.fixture
def checked(lab: ControllerLab) -> ControllerLab:
    """A node, enabled, the first check passed; the controller stopped."""
    lab.add_node("w1")
    lab.start()
    lab.installed()
    lab.enable()
    lab.verdict(passed=True)
    lab.until(lambda: lab.status().get("ready") is True, "ready")
    lab.stop()
    return lab


def trigger(lab: ControllerLab, name: str) -> str:
    wire = lab.get(CHECKS, name, namespace=NAMESPACE)
    return shapes.text(wire, "metadata", "annotations", "kubevm.io/trigger")


def noted(lab: ControllerLab) -> dict[str, str]:
    """The kubelets' versions that were acted on."""
    return {
        name: shapes.text(lab.get(NODE_PREFLIGHTS, name), "spec", "kubeletVersion")
        for name in sorted(lab.names(NODE_PREFLIGHTS))
    }


def test_a_kubelet_that_is_upgraded_asks_for_one_check(checked: ControllerLab):
    lab = checked
    first = lab.checks()
    assert noted(lab) == {"w1": "v1.37.1"}
    lab.start(patience=QUIET)
    lab.add_node("w2", version="v1.98.0")  # no upgrade
    lab.until(lambda: noted(lab) == {"w1": "v1.37.1", "w2": "v1.98.0"}, "its version is noted")
    lab.upgrade("w1", NEW)
    name = lab.verdict(passed=True, other_than=first)
    assert trigger(lab, name) == "ClusterUpgraded"
    assert noted(lab) == {"w1": NEW, "w2": "v1.98.0"}
    lab.ask("later")  # what comes after this would have come before it
    lab.until(lambda: lab.check("later").get("pass") is True, "its verdict")
    assert lab.checks() == {*first, name, "later"}


def with_versions(credentials: Credentials, versions: Iterator[str], asked: threading.Semaphore) -> Client:
    """A client that hears these versions of the API server."""

    def tap(call: Call, send: Callable[[], Object]) -> Object:
        answer = send()
        if call.path == VERSION_PATH:
            assert shapes.text(answer, "gitVersion").startswith("v1.")
            asked.release()
            return {**answer, "gitVersion": next(versions)}
        return answer

    return Tapped(credentials, tap)


def test_an_api_server_that_is_upgraded_asks_for_one_check_once_all_answer_alike(
    checked: ControllerLab, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("controller.versions.TIMEOUT", 60.0)  # silence would count as quiet
    lab = checked
    first = lab.checks()
    old = shapes.text(lab.status(), "lastActedOn", "apiServerVersion")
    assert old.startswith("v1.")
    behind = threading.Event()
    asked = threading.Semaphore(0)

    def answers() -> Iterator[str]:
        for version in itertools.cycle((NEW, old)):
            yield NEW if behind.is_set() else version

    lab.start(patience=QUIET, client=with_versions(lab.credentials(), answers(), asked))
    for _ in range(10):
        assert asked.acquire(timeout=60), "asked again and again"
    assert lab.checks() == first
    behind.set()
    name = lab.verdict(passed=True, other_than=first)
    assert trigger(lab, name) == "ClusterUpgraded"
    assert lab.status()["lastActedOn"]["apiServerVersion"] == NEW
    for _ in range(3):
        assert asked.acquire(timeout=60), "asked again"
    assert lab.checks() == {*first, name}


@pytest.mark.filterwarnings("ignore:Exception in thread reconciler")  # the SystemExit that kills it
@pytest.mark.parametrize("fatal", range(8))
def test_killed_after_each_write(checked: ControllerLab, fatal: int):
    lab = checked
    first = lab.checks()
    lab.upgrade("w1", NEW)
    writes = Writes(fatal, after=True)
    lab.start(client=mortal(lab.credentials(), writes), patience=QUIET)
    lab.until(writes.killed.is_set, "killed")
    lab.stop()
    lab.start(patience=QUIET)
    name = lab.verdict(passed=True, other_than=first)
    assert trigger(lab, name) == "ClusterUpgraded"
    lab.ask("later")
    lab.until(lambda: lab.check("later").get("pass") is True, "its verdict")
    assert lab.checks() == {*first, name, "later"}
    assert noted(lab) == {"w1": NEW}
