"""Objects edited by hand into all the nonsense that their schemas let through, while a check runs or not.

The controller heals what is its own, and nothing it does goes on for ever: in the end all is quiet.
"""

from collections.abc import Callable, Mapping

import pytest
from controllerlab import ControllerLab
from lifetime import SECONDS
from witness import Witness

from cluster import shapes
from cluster.resources import (
    AGENT_NAME,
    CHECKS,
    DAEMON_SETS,
    NAMESPACE,
    NODE_PREFLIGHTS,
    NODES,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
)

Edit = Callable[[ControllerLab, str], None]
"""Edits something, given the name of the last check."""

AUTOMATIC = "vmruntime-preflight-check-00000000-0000-4000-8000-000000000000"
FUTURE, PAST = "9998-01-01T00:00:00Z", "1970-01-01T00:00:00Z"
CONDITION = {"reason": "R", "message": "m", "lastTransitionTime": FUTURE}


def runtime_status(**status: object) -> Edit:
    path = VM_RUNTIMES.path(VM_RUNTIME_NAME, subresource="status")
    return lambda lab, _: void(lab.client.patch(path, {"status": status}))


def check_status(**status: object) -> Edit:
    return lambda lab, name: void(
        lab.client.patch(
            CHECKS.path(name, namespace=NAMESPACE, subresource="status"),
            {"status": status},
        )
    )


def check_metadata(**metadata: object) -> Edit:
    return lambda lab, name: void(
        lab.client.patch(CHECKS.path(name, namespace=NAMESPACE), {"metadata": metadata})
    )


def preflight(status: Mapping[str, object] | None = None, **body: object) -> Edit:
    def edit(lab: ControllerLab, _: str) -> None:
        if status is not None:
            lab.client.patch(NODE_PREFLIGHTS.path("w1", subresource="status"), {"status": dict(status)})
        if body:
            lab.client.patch(NODE_PREFLIGHTS.path("w1"), body)

    return edit


def node(**body: object) -> Edit:
    return lambda lab, _: void(lab.client.patch(NODES.path("w1"), body))


def daemon_set(**body: object) -> Edit:
    return lambda lab, _: void(lab.client.patch(DAEMON_SETS.path(AGENT_NAME, namespace=NAMESPACE), body))


def void(_: object) -> None:
    """Takes what nobody needs."""


def last(**fields: object) -> Edit:
    lie = {"name": "lie", "passed": False, "failedFeatures": ["Lie"], **fields}
    return runtime_status(preflightCheckSummary={"lastCompleted": lie})


EDITS: dict[str, Edit] = {
    "enabled off": runtime_status(enabled=False),
    "enabled gone": runtime_status(enabled=None),
    "ready off": runtime_status(ready=False),
    "status gone": lambda lab, _: replace_status(lab),
    "generation huge": runtime_status(observedGeneration=2**53),
    "enabledGeneration huge": runtime_status(enabledGeneration=2**53),
    "enabledGeneration gone": runtime_status(enabledGeneration=None),
    "lastActedOn gone": runtime_status(lastActedOn=None),
    "features nonsense": runtime_status(
        lastActedOn={"features": {"useEmulation": True, "ignoredChecks": ["X"]}}
    ),
    "skippedNodes nonsense": runtime_status(lastActedOn={"skippedNodes": ["", "no-such-node"]}),
    "pendingCheck person's": runtime_status(pendingCheck={"name": "mine", "trigger": "Enabled"}),
    "pendingCheck trigger": runtime_status(pendingCheck={"name": AUTOMATIC, "trigger": "Requested"}),
    "pendingCheck junk": runtime_status(pendingCheck={"name": "../..", "trigger": "Junk"}),
    "conditions gone": runtime_status(conditions=[]),
    "conditions foreign": runtime_status(
        conditions=[
            {"type": "Ready", "status": "Unknown", **CONDITION},
            {"type": "Alien", "status": "True", **CONDITION},
        ]
    ),
    "summary gone": runtime_status(preflightCheckSummary=None),
    "summary lies": runtime_status(
        preflightCheckSummary={
            "preflightCheckName": "lie",
            "preflightCheckPassed": False,
            "featureStatuses": {},
        }
    ),
    "lastCompleted in the past": last(completionTime=PAST, creationTimestamp=PAST),
    "lastCompleted in the future": last(completionTime=FUTURE, creationTimestamp=FUTURE),
    "lastCompleted without times": last(completionTime=None, creationTimestamp=None),
    "check: end in the future": check_status(completionTime=FUTURE),
    "check: end in the past": check_status(completionTime=PAST),
    "check: start in the future": check_status(startTime=FUTURE),
    "check: no start": check_status(startTime=None),
    "check: no end": check_status(completionTime=None),
    "check: neither start nor end": check_status(startTime=None, completionTime=None),
    "check: nothing": check_status(startTime=None, completionTime=None, conditions=None, checks=None),
    "check: unknown nodes": check_status(checks={"nobody": {"passed": False}, "w1": {}}),
    "check: no end, unknown nodes": check_status(completionTime=None, checks={"nobody": {}}),
    "check: features": check_status(featureStatuses={"X": {"passed": False, "failedNodeNum": 5}}),
    "check: truncated": check_status(truncated=True, checks=None),
    "check: conditions": check_status(conditions=[{"type": "Cancelled", "status": "True", **CONDITION}]),
    "check: trigger junk": check_metadata(annotations={"kubevm.io/trigger": "]junk["}),
    "check: trigger gone": check_metadata(annotations={"kubevm.io/trigger": None}),
    "check: owner": check_metadata(labels={"a": "b"}),
    "preflight: skip": preflight(spec={"skip": True}),
    "preflight: run": preflight(spec={"run": {"id": "x", "check": "y", "deadline": FUTURE}}),
    "preflight: config": preflight(spec={"config": {"useEmulation": True, "ignoredChecks": ["KVM"]}}),
    "preflight: no owner": preflight(metadata={"ownerReferences": None}),
    "preflight: status gone": preflight({"runID": None, "passed": None, "results": []}),
    "preflight: other run": preflight({"runID": "nonsense"}),
    "preflight: deleted": lambda lab, _: lab.delete(NODE_PREFLIGHTS, "w1"),
    "node: labels": node(metadata={"labels": {"kubevm.io/vm-mode": "nonsense", "kubevm.io/x": "y"}}),
    "node: annotations": node(metadata={"annotations": {"kubevm.io/trigger": "Enabled"}}),
    "daemonset: template": daemon_set(spec={"template": {"spec": {"serviceAccountName": "default"}}}),
    "daemonset: labels": daemon_set(metadata={"labels": {"app.kubernetes.io/component": None}}),
    "daemonset: deleted": lambda lab, _: lab.delete(DAEMON_SETS, AGENT_NAME, namespace=NAMESPACE),
}


def replace_status(lab: ControllerLab) -> None:
    whole = dict(lab.runtime())
    lab.client.replace(VM_RUNTIMES.path(VM_RUNTIME_NAME, subresource="status"), {**whole, "status": {}})


def unfinished(lab: ControllerLab) -> set[str]:
    return {name for name in lab.checks() if "completionTime" not in lab.check(name)}


@pytest.fixture
def settled(lab: ControllerLab) -> ControllerLab:
    """Two nodes, enabled, and ready."""
    lab.add_node("w1")
    lab.add_node("w2")
    lab.agents.eager = True  # else a node whose object was made anew counts as served for half a minute alone
    lab.start()
    lab.installed()
    lab.enable()
    lab.until(lambda: lab.status().get("ready") is True, "ready", seconds=SECONDS)
    return lab


@pytest.mark.timeout(900)
def test_what_is_edited_while_nothing_runs_heals(witness: Witness, settled: ControllerLab):
    """One edit after another, each on top of a cluster that has healed from those before it."""
    lab = settled
    for what, edit in EDITS.items():
        before = witness.writes
        edit(lab, shapes.text(lab.summary(), "preflightCheckName"))
        try:
            witness.until_settled(enabled=True)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from None
        assert witness.writes - before < 60, what


@pytest.mark.timeout(900)
def test_what_is_edited_while_a_check_runs_costs_no_verdict(witness: Witness, settled: ControllerLab):
    """Edits of checks, NodePreflights and the memory: a check for each, edited when half of it is done."""
    lab = settled
    edits = {
        what: edit for what, edit in EDITS.items() if not what.startswith(("node:", "daemonset:", "summary"))
    }
    for number, (what, edit) in enumerate(edits.items()):
        name = f"edited-{number}"
        lab.agents.mute = {(name, "w2")}  # this one alone: a check that was asked for late may run before it
        lab.ask(name)
        lab.until(
            lambda name=name: (name, "w1") in lab.agents.answered, f"{what}: half of it", seconds=SECONDS
        )
        edit(lab, name)
        lab.agents.speak("w2")
        lab.until(lambda: not unfinished(lab), f"{what}: nothing runs any more", seconds=SECONDS)
        witness.until_quiet()  # what was edited may have asked for one more check
        if not what.startswith("check: end"):  # a check that somebody ended has no verdict of ours
            assert lab.check(name).get("pass") is True, what
    witness.until_settled(enabled=True)
