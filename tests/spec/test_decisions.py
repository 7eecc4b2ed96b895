"""decisions.md, where it says more than spec.md and no other test tries it on a real API server."""

import json

import pytest
from controllerlab import ControllerLab

from cluster import shapes
from cluster.resources import (
    CHECKS,
    FORCE_DISABLE_ANNOTATION,
    NAMESPACE,
    NODE_PREFLIGHTS,
    NODES,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
)


@pytest.fixture(scope="module")
def enabled(lab: ControllerLab) -> ControllerLab:
    """Enabled; the first check passed."""
    lab.enable()
    lab.verdict(passed=True)
    return lab


def ask(lab: ControllerLab, name: str) -> str:
    """Asks for a check, and returns what its condition Complete says once it has ended."""
    lab.ask(name)
    lab.until(lambda: lab.check(name).get("completionTime"), "its end")
    complete = lab.condition("Complete", lab.check(name))
    return f"{complete['reason']}: {complete['message']}"


def strictness(lab: ControllerLab, minimum: int | str | None) -> None:
    """Sets `minPassedNodes`, and waits for the check that comes of it."""
    before = lab.checks()
    lab.client.patch(VM_RUNTIMES.path(VM_RUNTIME_NAME), {"spec": {"preflight": {"minPassedNodes": minimum}}})

    def ended() -> bool:
        made = lab.checks() - before
        return bool(made) and all(lab.check(name).get("completionTime") for name in made)

    lab.until(ended, "the check that a changed feature asks for")


@pytest.mark.parametrize(
    ("minimum", "told", "passed"),
    [
        (1, "Passed: 1 of 2 nodes passed, 1 must", True),
        ("50%", "Passed: 1 of 2 nodes passed, 1 must", True),
        ("51%", "NodesFailed: 1 of 2 nodes passed (w2: KVM DeviceMissing)", False),
        (3, "TooFewNodes: ", False),
    ],
)
def test_7_minimum_of_nodes(enabled: ControllerLab, minimum: int | str, told: str, passed: bool) -> None:
    """7: int or percentage, rounded up; more than there are nodes fails; a feature may fail in a pass."""
    lab = enabled
    strictness(lab, minimum)
    lab.agents.failing = {"w2"}
    name = f"{'passes' if passed else 'fails'}-with-{minimum}".rstrip("%")

    said = ask(lab, name)

    assert said.startswith(told), said
    assert lab.check(name)["pass"] is passed
    assert lab.check(name)["featureStatuses"]["KVM"] == {"passed": False, "failedNodeNum": 1}
    lab.agents.failing = set()
    strictness(lab, None)


@pytest.mark.parametrize("junk", [0, -1, "0%", "101%", "two", "1.5"])
def test_7_minimum_that_is_none(enabled: ControllerLab, junk: int | str) -> None:
    """7: 0 is invalid, as is what is neither number nor percentage; the refusal says what is valid."""
    change = json.dumps({"spec": {"preflight": {"minPassedNodes": junk}}})

    said = enabled.plane.run_kubectl("patch", "vmruntime", "vmruntime", "--type=merge", "-p", change)

    assert said.returncode == 1
    assert "must be a number of at least 1, or a percentage from 1% to 100%" in said.stderr


def test_10_off_and_on_again_wants_a_new_verdict(enabled: ControllerLab) -> None:
    """10: `lastCompleted` is cleared at each off-to-on that the controller sees."""
    lab = enabled
    lab.until(lambda: "lastCompleted" in lab.summary(), "a verdict")
    before = lab.checks()
    lab.enable(enabled=False)
    lab.until(lambda: lab.status()["enabled"] is False, "off")
    assert "lastCompleted" not in lab.summary()
    lab.agents.silent = {"w1"}
    lab.enable()
    lab.until(lambda: lab.checks() - before, "a check")
    assert "lastCompleted" not in lab.summary()
    lab.agents.speak("w1")
    lab.verdict(passed=True, other_than=before)


def test_10_unseen_is_no_change(enabled: ControllerLab) -> None:
    """10: off and on again between two looks of the controller is no change, because nothing was off."""
    lab = enabled
    before, last = lab.checks(), lab.summary()["lastCompleted"]
    lab.stop()
    lab.enable(enabled=False)
    lab.enable()
    lab.start()
    generation = lab.runtime()["metadata"]["generation"]
    lab.until(lambda: lab.status()["observedGeneration"] == generation, "the controller has seen it")
    ask(lab, "after-it")
    assert lab.checks() == {*before, "after-it"}
    assert lab.summary()["lastCompleted"]["completionTime"] >= last["completionTime"]


def test_13_a_word_that_is_neither(enabled: ControllerLab) -> None:
    """13: anything but `"true"` is false; a word that is neither is named in a condition."""
    lab, path = enabled, VM_RUNTIMES.path(VM_RUNTIME_NAME)
    lab.client.patch(path, {"metadata": {"annotations": {FORCE_DISABLE_ANNOTATION: "yes"}}})
    lab.until(lambda: lab.condition("AnnotationsValid")["status"] == "False", "the word is named")
    assert lab.condition("AnnotationsValid")["message"] == (
        f'annotation {FORCE_DISABLE_ANNOTATION} is \'yes\', neither "true" nor "false": it counts as "false"'
    )
    lab.client.patch(path, {"metadata": {"annotations": {FORCE_DISABLE_ANNOTATION: None}}})
    lab.until(lambda: lab.condition("AnnotationsValid")["status"] == "True", "it is gone")


def test_15_what_is_no_removal_of_the_label(enabled: ControllerLab) -> None:
    """15: deleted while labelled, back without the label, or new: none of these makes a check."""
    lab = enabled
    before = lab.checks()
    lab.add_node("goes")
    lab.label("goes", skip=True)
    uid = shapes.text(lab.get(NODES, "goes"), "metadata", "uid")
    lab.until(lambda: uid in str(lab.status()["lastActedOn"]), "the label is seen")
    lab.delete(NODES, "goes")
    lab.until(lambda: uid not in str(lab.status()["lastActedOn"]), "it is gone")
    lab.add_node("goes")
    uid = shapes.text(lab.get(NODES, "goes"), "metadata", "uid")
    lab.until(lambda: uid in str(lab.get(NODE_PREFLIGHTS, "goes")), "it is seen again")
    ask(lab, "with-the-node")
    assert set(lab.check("with-the-node")["checks"]) == {"w1", "w2", "goes"}
    assert lab.checks() == {*before, "with-the-node"}
    lab.delete(NODES, "goes")


def test_18_the_latest_is_by_creation_then_by_name(enabled: ControllerLab) -> None:
    """18: the latest check is by creationTimestamp, then by name; any check counts, a person's too."""
    lab = enabled
    for name in ("zz-first", "aa-second"):
        ask(lab, name)

    def latest() -> str:
        checks = shapes.items(lab.client.list(CHECKS.path(namespace=NAMESPACE)), "items")
        return max(
            (shapes.text(one, "metadata", "creationTimestamp"), shapes.text(one, "metadata", "name"))
            for one in checks
        )[1]

    def shown() -> set[str]:
        summary = lab.summary()
        return {shapes.text(summary, "preflightCheckName"), shapes.text(summary, "lastCompleted", "name")}

    lab.until(lambda: shown() == {latest()}, "the latest is shown, and counts")


def test_19_a_cancelled_check(enabled: ControllerLab) -> None:
    """19: one that is cancelled has conditions and `completionTime`, and no verdict; a person's goes on."""
    lab = enabled
    lab.agents.silent = {"w1"}
    before = lab.checks()
    lab.enable(useEmulation=True)
    lab.until(lambda: lab.checks() - before, "an automatic check")
    (name,) = lab.checks() - before
    lab.until(lambda: lab.check(name).get("startTime"), "it runs")
    lab.ask("goes-on")
    lab.enable(enabled=False)
    lab.until(lambda: lab.check(name).get("completionTime"), "its end")

    status = lab.check(name)
    assert "pass" not in status
    conditions = {kind: lab.condition(kind, status) for kind in ("Complete", "Cancelled")}
    assert {kind: (one["status"], one["reason"]) for kind, one in conditions.items()} == {
        "Complete": ("False", "Cancelled"),
        "Cancelled": ("True", "RuntimeDisabled"),
    }
    lab.agents.speak("w1")
    lab.until(lambda: lab.check("goes-on").get("pass") is True, "a person's check has its verdict")


def test_no_node_takes_part(lab: ControllerLab) -> None:
    """14, and design.md: a check with no node to run on does not pass and says so."""
    for name in ("w1", "w2"):
        lab.label(name, skip=True)
    lab.seen_skipped("w1", "w2")

    assert ask(lab, "nobody").startswith("NoNodes: no node took part")

    assert lab.check("nobody")["pass"] is False
    assert lab.check("nobody").get("checks", {}) == {}
