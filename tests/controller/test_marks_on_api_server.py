"""Condition and label on real Nodes: at transitions only, put right after an edit, gone when switched off."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from controllerlab import ControllerLab, Wire
from tapped import Call, Tapped

from cluster import shapes
from cluster.resources import (
    CONTROLLER_NAME,
    EVENTS,
    MODE_LABEL,
    NODE_PREFLIGHTS,
    NODES,
    PASSED_CONDITION,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
)
from cluster.transport import Object

BOTH = {"nodeCondition": True, "nodeLabel": True}
PASSED, FAILED = ("hardware", "True", "PreflightPassed"), ("none", "False", "PreflightFailed")
NOTHING = ("", "", "")
KUBELETS = {
    "type": "MemoryPressure",
    "status": "False",
    "reason": "KubeletHasSufficientMemory",
    "message": "kubelet has sufficient memory available",
}


@pytest.fixture
def marked(lab: ControllerLab) -> ControllerLab:
    """Two nodes, one of which fails, and one that takes no part; condition and label are published."""
    lab.add_node("w1")
    lab.add_node("w2")
    lab.add_node("other", labels={"kubernetes.io/os": "windows"})
    lab.agents.failing = {"w2"}
    lab.start()
    lab.installed()
    lab.enable(preflight=BOTH)
    wait(lab, "w1", PASSED)
    wait(lab, "w2", FAILED)
    return lab


def condition(lab: ControllerLab, name: str) -> Wire:
    return lab.condition(PASSED_CONDITION, shapes.mapping(lab.get(NODES, name), "status"))


def shown(lab: ControllerLab, name: str) -> tuple[str, str, str]:
    """The label, and status and reason of the condition; empty where it is not there."""
    label = shapes.text(lab.get(NODES, name), "metadata", "labels", MODE_LABEL)
    found = condition(lab, name)
    return label, shapes.text(found, "status"), shapes.text(found, "reason")


def wait(lab: ControllerLab, name: str, wanted: tuple[str, str, str]) -> None:
    lab.until(
        lambda: shown(lab, name) == wanted, f"{name} shows {wanted}, not {shown(lab, name)}", seconds=60
    )


def version(lab: ControllerLab, name: str) -> str:
    return shapes.text(lab.get(NODES, name), "metadata", "resourceVersion")


def change(lab: ControllerLab, name: str, status: Wire) -> None:
    """Writes a Node's status as a kubelet does, by keys."""
    lab.client.patch_by_keys(NODES.path(name, subresource="status"), {"status": status})


def test_nodes_show_their_verdicts_and_others_show_nothing(marked: ControllerLab):
    lab = marked
    assert shown(lab, "other") == NOTHING
    failed = condition(lab, "w2")
    assert failed["message"] == "KVM DeviceMissing; see kubectl get nodepreflight w2 -o yaml"
    assert condition(lab, "w1")["message"] == "the node passed its preflight checks, mode Hardware"
    told = lab.plane.kubectl("get", "nodes", "-L", MODE_LABEL).splitlines()
    assert {line.split()[0]: line.split()[-1] for line in told[1:] if "w" in line.split()[0]} == {
        "w1": "hardware",
        "w2": "none",
    }
    kubectl_wait = lab.plane.kubectl("wait", f"--for=condition={PASSED_CONDITION}", "node/w1")
    assert kubectl_wait.strip() == "node/w1 condition met"
    (name,) = lab.checks()
    assert lab.checks() == {name}, "the opt-ins are no features"


def test_nothing_is_written_while_nothing_changes(marked: ControllerLab):
    lab = marked
    lab.plane.wait_for_node("w1")
    before, since = version(lab, "w1"), condition(lab, "w1")
    lab.ask("again")
    lab.until(lambda: lab.check("again").get("pass") is False, "its verdict")
    lab.stop()
    lab.start()
    lab.agents.failing = set()
    lab.ask("third")
    wait(lab, "w2", PASSED)  # once this is acted on, all that came before has been looked at
    assert version(lab, "w1") == before
    assert condition(lab, "w1") == since


def test_a_heartbeat_of_the_kubelet_touches_nothing_and_is_not_touched(marked: ControllerLab):
    lab = marked
    mine = condition(lab, "w1")
    for number in range(20):
        beat = {**KUBELETS, "lastHeartbeatTime": f"2026-01-01T00:00:{number:02}Z"}
        change(lab, "w1", {"conditions": [beat], "images": [{"names": [f"image-{number}"], "sizeBytes": 1}]})
        if number == 5:
            lab.agents.failing = {"w1"}
            lab.ask("in-between")
    wait(lab, "w1", FAILED)
    lab.agents.failing = set()
    lab.ask("afterwards")
    wait(lab, "w1", PASSED)
    status = shapes.mapping(lab.get(NODES, "w1"), "status")
    pressure = lab.condition("MemoryPressure", status)
    assert pressure["lastHeartbeatTime"] == "2026-01-01T00:00:19Z"
    assert status["images"] == [{"names": ["image-19"], "sizeBytes": 1}]
    assert lab.condition("Ready", status)["reason"] == "KubeletReady"
    assert condition(lab, "w1")["lastTransitionTime"] >= mine["lastTransitionTime"]


def edits(lab: ControllerLab) -> list[Callable[[], object]]:
    """What people and other programs do to the marks of w1."""
    path, status_path = NODES.path("w1"), NODES.path("w1", subresource="status")
    others = [KUBELETS, {**KUBELETS, "type": "Ready", "status": "True", "reason": "KubeletReady"}]
    wrong = {"type": PASSED_CONDITION, "status": "Unknown", "reason": "Edited", "message": "by hand"}
    applied = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w1", "labels": {MODE_LABEL: "mine"}}}
    return [
        lambda: lab.client.patch(path, {"metadata": {"labels": {MODE_LABEL: "emulation"}}}),
        lambda: lab.client.patch(path, {"metadata": {"labels": {MODE_LABEL: None}}}),
        lambda: lab.client.apply(path, applied),
        lambda: change(lab, "w1", {"conditions": [wrong]}),
        lambda: lab.client.patch(status_path, {"status": {"conditions": others}}),
    ]


@pytest.mark.parametrize("away", [False, True])
def test_an_edit_is_put_right_at_once_or_when_the_controller_is_back(marked: ControllerLab, away: bool):
    lab = marked
    for edit in edits(lab):
        if away:
            lab.stop()
        edit()
        if away:
            assert shown(lab, "w1") != PASSED
            lab.start()
        wait(lab, "w1", PASSED)
    assert shown(lab, "w2") == FAILED


def test_a_skipped_node_says_so_and_the_verdict_that_comes_after_it(marked: ControllerLab):
    lab = marked
    lab.label("w1", skip=True)
    wait(lab, "w1", ("none", "Unknown", "Skipped"))
    lab.label("w1", skip=False)
    wait(lab, "w1", PASSED)


@pytest.mark.parametrize("how", ["opt-ins", "runtime", "controller away"])
def test_switched_off_nothing_is_left_on_any_node(marked: ControllerLab, how: str):
    lab = marked
    lab.label("w1", skip=True)
    wait(lab, "w1", ("none", "Unknown", "Skipped"))
    # left over on a node that takes no part
    lab.client.patch(NODES.path("other"), {"metadata": {"labels": {MODE_LABEL: "hardware"}}})
    if how == "controller away":
        lab.stop()
    lab.enable(enabled=how != "runtime", preflight={} if how == "runtime" else dict.fromkeys(BOTH, False))
    if how == "controller away":
        lab.start()
    for name in ("w1", "w2", "other"):
        wait(lab, name, NOTHING)
    node = lab.get(NODES, "w1")
    assert [shapes.text(one, "type") for one in shapes.items(node, "status", "conditions")] == ["Ready"]
    assert shapes.texts(node, "metadata", "labels").keys() >= {"kubernetes.io/os"}


def test_a_node_that_is_made_anew_has_no_verdict_yet(marked: ControllerLab):
    lab = marked
    lab.agents.silent = {"w1"}
    lab.delete(NODES, "w1")
    lab.add_node("w1")
    wait(lab, "w1", ("none", "Unknown", "NotCheckedYet"))
    lab.agents.speak("w1")
    lab.ask("for-the-new-one")
    wait(lab, "w1", PASSED)
    assert shapes.text(lab.get(NODE_PREFLIGHTS, "w1"), "status", "mode") == "Hardware"


def test_the_time_of_a_transition_is_that_of_the_status(marked: ControllerLab):
    lab = marked
    first = condition(lab, "w2")
    edited = {**first, "message": "by hand"}
    change(lab, "w2", {"conditions": [edited]})
    lab.until(lambda: condition(lab, "w2")["message"] == first["message"], "the message is put right")
    assert condition(lab, "w2")["lastTransitionTime"] == first["lastTransitionTime"]
    lab.agents.failing = set()
    lab.ask("repaired")
    wait(lab, "w2", PASSED)
    moved = shapes.time(condition(lab, "w2"), "lastTransitionTime")
    assert moved is not None
    assert moved >= (shapes.time(first, "lastTransitionTime") or datetime.now(UTC))


def events(lab: ControllerLab, name: str) -> list[tuple[str, int]]:
    """Reason and count of our Events on a Node."""
    uid = shapes.text(lab.get(NODES, name), "metadata", "uid")
    found = shapes.items(lab.client.list(EVENTS.path(namespace="default")), "items")
    on_it = [one for one in found if shapes.text(one, "involvedObject", "uid") == uid]
    ours = [one for one in on_it if shapes.text(one, "reportingComponent") == CONTROLLER_NAME]
    return sorted((shapes.text(one, "reason"), shapes.number(one, "count")) for one in ours)


def test_a_change_while_the_controller_was_away_is_told_once(marked: ControllerLab):
    lab = marked
    lab.until(lambda: events(lab, "w2") == [("NodeNotReadyForVMs", 1)], "the first Event")
    lab.stop()
    status = {"passed": True, "mode": "Hardware", "results": []}
    lab.client.patch(NODE_PREFLIGHTS.path("w2", subresource="status"), {"status": status})
    lab.start()
    wait(lab, "w2", PASSED)
    told = [("NodeNotReadyForVMs", 1), ("NodeReadyForVMs", 1)]
    lab.until(lambda: events(lab, "w2") == told, "the second Event")
    lab.stop()
    lab.start()
    lab.label("w1", skip=True)
    wait(lab, "w1", ("none", "Unknown", "Skipped"))
    assert events(lab, "w2") == told


def test_a_node_that_comes_and_goes_is_counted_on_two_events(marked: ControllerLab):
    lab = marked
    for number in range(3):
        for passed, shows in ((True, PASSED), (False, FAILED)):
            lab.agents.failing = set() if passed else {"w2"}
            lab.ask(f"flap-{number}-{str(passed).lower()}")
            wait(lab, "w2", shows)
    wanted = [("NodeNotReadyForVMs", 4), ("NodeReadyForVMs", 3)]
    lab.until(lambda: events(lab, "w2") == wanted, f"{wanted}, not {events(lab, 'w2')}")


def test_the_gate_hears_of_a_verdict_before_any_node_shows_it(lab: ControllerLab):
    written: list[Call] = []

    def tap(call: Call, carry_out: Callable[[], Object]) -> Object:
        answer = carry_out()
        if call.method != "GET":
            written.append(call)
        return answer

    lab.add_node("w1")
    lab.start(client=Tapped(lab.credentials(), tap))
    lab.installed()
    lab.enable(preflight=BOTH)
    wait(lab, "w1", PASSED)

    ends = [at for at, call in enumerate(written) if shapes.text(call.body, "status", "completionTime")]
    told = next(
        at
        for at, call in enumerate(written)
        if call.path == VM_RUNTIMES.path(VM_RUNTIME_NAME, subresource="status")
        and shapes.mapping(call.body, "status", "preflightCheckSummary", "lastCompleted")
    )
    between = [call.path for call in written[ends[0] : told]]
    assert len(ends) == 1
    assert not [path for path in between if path.startswith(NODES.path())]
