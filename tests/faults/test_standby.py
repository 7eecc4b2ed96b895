"""Two controllers, elected and not: a standby takes over, and what a former leader has in mind is void."""

import signal
import sys
import time
from pathlib import Path

import pytest
from controllerlab import ControllerLab
from controllerprocess import Kept
from lifetime import add_nodes, told
from waiting import until
from witness import Expected, Witness

from cluster import shapes
from cluster.resources import LEASE_NAME, LEASES, NAMESPACE, NODE_PREFLIGHTS

SECONDS = 60.0


def holder(lab: ControllerLab) -> str:
    return shapes.text(lab.get(LEASES, LEASE_NAME, namespace=NAMESPACE), "spec", "holderIdentity")


def report(what: str, since: float) -> None:
    print(f"{what}: {time.monotonic() - since:.1f} s", file=sys.stderr)


@pytest.mark.timeout(900)
def test_a_hot_standby_takes_over(lab: ControllerLab, witness: Witness, tmp_path: Path):
    """From one that is stopped in the middle of a run and comes back, one that is killed, one that leaves."""
    lab.add_node("w1")
    lab.agents.silent = {"w1"}
    with (
        Kept(lab.plane, log=tmp_path / "first.log") as first,
        Kept(lab.plane, log=tmp_path / "second.log") as second,
    ):
        until(lambda: first.ready and second.ready, "both to have filled their caches", seconds=SECONDS)
        until(lambda: first.leads or second.leads, "one to lead", seconds=SECONDS)
        assert (first.leads, second.leads).count(True) == 1
        stopped, other = (first, second) if first.leads else (second, first)
        lab.until(lab.status, "the VMRuntime's status", seconds=SECONDS)
        lab.enable()
        lab.until(lambda: "w1" in lab.names(NODE_PREFLIGHTS), "the node is asked", seconds=SECONDS)

        stopped.signal(signal.SIGSTOP)
        since = time.monotonic()
        until(lambda: other.leads, "the standby to lead", seconds=SECONDS)
        report("taken over from a leader that was stopped", since)
        lab.agents.speak("w1")
        lab.verdict(passed=True, seconds=SECONDS)
        stopped.signal(signal.SIGCONT)
        until(lambda: stopped.ends == [1], "the former leader to end", seconds=SECONDS)
        witness.judge(Expected("Enabled", passed=True), enabled=True)
        assert other.leads
        until(lambda: stopped.ready, "it to stand by, started again", seconds=SECONDS)

        lab.agents.silent = {"w1"}
        lab.ask("killed")
        lab.until(lambda: lab.check("killed").get("startTime"), "it runs", seconds=SECONDS)
        other.signal(signal.SIGKILL)
        since = time.monotonic()
        until(lambda: other.ends, "it to be dead", seconds=SECONDS)
        # which may be the killed one: it is back long before its own lease has run out
        until(lambda: first.leads or second.leads, "one to lead", seconds=SECONDS)
        report("taken over from a leader that was killed", since)
        lab.agents.speak("w1")
        lab.until(lambda: lab.check("killed").get("pass") is True, "its verdict", seconds=SECONDS)

        until(lambda: first.ready and second.ready, "both to be there", seconds=SECONDS)
        before = holder(lab)
        leader = first if first.leads else second
        leader.signal(signal.SIGTERM)
        since = time.monotonic()
        until(lambda: holder(lab) not in ("", before), "the lease to be taken", seconds=SECONDS)
        report("taken over from a leader that left", since)
        lab.ask("left")
        lab.until(lambda: lab.check("left").get("pass") is True, "its verdict", seconds=SECONDS)
        until(lambda: len(leader.ends) > 1, "the former leader to end", seconds=SECONDS)
        requested = Expected("Requested", passed=True)
        witness.judge(Expected("Enabled", passed=True), requested, requested, enabled=True)
    assert (stopped.ends[0], other.ends[0]) == (1, -signal.SIGKILL)
    assert leader.ends[1] == 0


@pytest.mark.timeout(900)
def test_two_that_both_lead_by_mistake(lab: ControllerLab, witness: Witness):
    add_nodes(lab)
    lab.start()
    second = ControllerLab(lab.plane)
    second.start()
    try:
        for expected, enabled in told(lab):
            witness.judge(*expected, enabled=enabled)
    finally:
        second.stop()
        second.client.close()


FAR_AHEAD = "9998-01-01T00:00:00.000000Z"
JUNK: dict[str, dict[str, object]] = {
    "holder": {"holderIdentity": "nobody", "leaseDurationSeconds": 1},
    "far ahead": {"holderIdentity": "nobody", "leaseDurationSeconds": 3, "renewTime": FAR_AHEAD},
    "transitions": {"holderIdentity": "nobody", "leaseDurationSeconds": 1, "leaseTransitions": 2**31 - 1},
    "strategy": {"strategy": "OldestEmulationVersion", "preferredHolder": "nobody"},
    "nothing": {"holderIdentity": None, "leaseDurationSeconds": None, "renewTime": None},
}


@pytest.mark.parametrize("junk", JUNK)
def test_a_lease_that_is_edited_into_nonsense(lab: ControllerLab, tmp_path: Path, junk: str):
    with Kept(lab.plane, log=tmp_path / "controller.log") as kept:
        until(lambda: kept.leads, "it to lead", seconds=SECONDS)
        path = LEASES.path(LEASE_NAME, namespace=NAMESPACE)
        lab.client.patch(path, {"spec": JUNK[junk]})
        version = shapes.text(lab.client.get(path), "metadata", "resourceVersion")

        def renewed() -> bool:
            lease = lab.client.get(path)
            changed = shapes.text(lease, "metadata", "resourceVersion") != version
            return changed and shapes.text(lease, "spec", "holderIdentity") not in ("", "nobody")

        until(renewed, "the lease to be renewed", seconds=SECONDS)
        until(lambda: kept.leads, "it to lead", seconds=SECONDS)
