"""The controller on a real API server, with the rights that `deploy/` gives it."""

import signal
import urllib.error
import urllib.request
from datetime import timedelta
from functools import partial
from pathlib import Path

import controllerprocess
import pytest
from controllerlab import IMAGE, MANIFEST, ControllerLab
from controlplane import free_ports

from cluster import shapes
from cluster.resources import (
    AGENT_NAME,
    CHECKS,
    CONTROLLER_NAME,
    DAEMON_SETS,
    NAMESPACE,
    NODE_PREFLIGHTS,
    NODES,
    PODS,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
)
from controller.silence import Patience
from controller.triggers import AUTOMATIC_NAME

SHORT = Patience(answer=timedelta(seconds=2), rollout=timedelta(seconds=4), progress=timedelta(seconds=1))


@pytest.fixture
def enabled(lab: ControllerLab) -> ControllerLab:
    """Two nodes, enabled, the first check passed."""
    lab.add_node("w1")
    lab.add_node("w2")
    lab.start()
    lab.installed()
    lab.enable()
    lab.verdict(passed=True)
    return lab


def test_enabling_goes_from_rollout_to_verdict(lab: ControllerLab):
    lab.add_node("w1")
    lab.add_node("w2")
    lab.add_node("other", labels={"kubernetes.io/os": "windows"})
    lab.agents.silent = {"w1", "w2"}
    lab.start()
    lab.installed()
    lab.enable(useEmulation=True, preflight={"ignoredChecks": ["VhostNet"]})
    lab.until(lambda: lab.names(NODE_PREFLIGHTS) == {"w1", "w2"}, "both nodes are asked")
    (name,) = lab.checks()
    assert AUTOMATIC_NAME.fullmatch(name)
    assert lab.summary() == {"preflightCheckName": name}
    assert "pass" not in lab.check(name)
    daemon_set = lab.daemon_set()
    containers = shapes.items(daemon_set, "spec", "template", "spec", "containers")
    assert {shapes.text(one, "image") for one in containers} == {IMAGE}
    managers = {shapes.text(one, "manager") for one in shapes.items(daemon_set, "metadata", "managedFields")}
    assert "vm-preflight" in managers
    asked = lab.get(NODE_PREFLIGHTS, "w1")
    assert asked["spec"]["config"] == {"useEmulation": True, "ignoredChecks": ["VhostNet"]}
    assert asked["spec"]["run"]["check"] == name

    lab.agents.speak("w1", "w2")
    assert lab.verdict(passed=True) == name
    status = lab.check(name)
    assert status["pass"] is True
    assert set(status["checks"]) == {"w1", "w2"}
    assert "failures" not in status
    summary = lab.summary()
    assert summary["featureStatuses"] == {"CPU": {"passed": True}, "KVM": {"passed": True}}
    assert summary["lastCompleted"]["name"] == name
    assert summary["lastCompleted"]["passed"] is True
    lab.until(lambda: lab.status()["ready"] is True, "ready")
    runtime = lab.runtime()
    assert lab.condition("Ready")["observedGeneration"] == runtime["metadata"]["generation"]
    assert status["enabledGeneration"] == runtime["status"]["enabledGeneration"]


def test_a_settled_cluster_is_left_alone(enabled: ControllerLab):
    lab = enabled
    lab.until(lambda: lab.status()["ready"] is True, "ready")
    (name,) = lab.checks()
    written = (
        (VM_RUNTIMES, VM_RUNTIME_NAME, ""),
        (CHECKS, name, NAMESPACE),
        (NODE_PREFLIGHTS, "w1", ""),
        (NODE_PREFLIGHTS, "w2", ""),
    )

    def versions() -> list[str]:
        found = [lab.get(resource, one, namespace=namespace) for resource, one, namespace in written]
        return [shapes.text(one, "metadata", "resourceVersion") for one in found]

    # kube-controller-manager counts the pods in the status of the DaemonSet, which is its version too
    lab.until(lambda: shapes.number(lab.daemon_set(), "status", "updatedNumberScheduled") == 2, "both pods")
    before, status = versions(), lab.status()
    daemon_set = shapes.text(lab.daemon_set(), "metadata", "resourceVersion")
    lab.stop()
    port = free_ports(1)[0]
    lab.start(port=port)  # the restarted controller looks at everything once more
    lab.until(lambda: "controller_gate_open 1.0" in metrics(port), "it has looked")
    lab.client.patch(NODES.path("w1"), {"metadata": {"labels": {"something": "else"}}})
    lab.label("w2", skip=True)  # once this is acted on, all that came before has been looked at
    lab.until(lambda: lab.get(NODE_PREFLIGHTS, "w2")["spec"]["skip"] is True, "the label is seen")
    assert versions()[1:3] == before[1:3]
    assert shapes.text(lab.daemon_set(), "metadata", "resourceVersion") == daemon_set
    assert {**lab.status(), "lastActedOn": {}} == {**status, "lastActedOn": {}}
    assert lab.checks() == {name}


def metrics(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.URLError:  # not listening yet
        return ""


def test_silent_nodes_fail_at_their_deadlines_and_are_told_apart(lab: ControllerLab):
    lab.add_node("down", ready=False)
    lab.add_node("pulling")
    lab.add_node("mute")
    lab.add_node("well")
    lab.agents.silent = {"down", "pulling", "mute"}
    lab.start()
    lab.installed()
    lab.enable()
    lab.until(lambda: len(lab.pods()) == 4, "the controller manager makes pods")
    lab.until(lambda: lab.agents.answered, "the one that is well answers")
    for pod in lab.pods():
        node = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ][0]["matchFields"][0]["values"][0]
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        waits = {"reason": "ImagePullBackOff", "message": "no such image"}
        status = {
            "mute": {"phase": "Running", "conditions": conditions},
            "well": {"phase": "Running", "conditions": conditions},
            "pulling": {"containerStatuses": [_container("agent", waiting=waits)]},
            "down": {},
        }[node]
        path = PODS.path(shapes.text(pod, "metadata", "name"), namespace=NAMESPACE, subresource="status")
        lab.client.patch(path, {"status": status})
    lab.stop()
    lab.start(patience=SHORT)  # by now everything is as it stays, however busy this machine is
    name = lab.verdict(passed=False)
    checks = lab.check(name)["checks"]
    reasons = {node: entry["results"][0]["reason"] for node, entry in checks.items()}
    assert reasons == {
        "down": "NodeNotReady",
        "pulling": "ImagePullBackOff",
        "mute": "AgentNotAnswering",
        "well": "FlagPresent",
    }
    assert "container runtime is down" in checks["down"]["results"][0]["message"]
    assert lab.summary()["featureStatuses"]["Agent"] == {"passed": False, "failedNodeNum": 3}


def _container(name: str, *, waiting: dict[str, str]) -> dict[str, object]:
    return {
        "name": name,
        "image": "x",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": waiting},
    }


def test_a_node_that_is_deleted_leaves_the_run(lab: ControllerLab):
    lab.add_node("w1")
    lab.add_node("w2")
    lab.agents.silent = {"w2"}
    lab.start()
    lab.installed()
    lab.enable()
    lab.until(lambda: "w2" in lab.names(NODE_PREFLIGHTS), "the node is asked")
    lab.delete(NODES, "w2")
    name = lab.verdict(passed=True)
    assert set(lab.check(name)["checks"]) == {"w1"}


def test_a_manifest_that_changes_is_applied_and_a_junk_one_is_named(enabled: ControllerLab, tmp_path: Path):
    lab = enabled
    lab.stop()
    manifest = tmp_path / "daemonset.yaml"
    good = MANIFEST.read_text()
    manifest.write_text(good)
    lab.start(manifest=manifest, patience=Patience(idle=timedelta(seconds=0.2)))
    manifest.write_text("]junk[")
    lab.until(lambda: lab.condition("AgentsRolledOut")["reason"] == "ManifestInvalid", "the junk is named")
    assert str(manifest) in lab.condition("AgentsRolledOut")["message"]
    assert lab.daemon_set()
    manifest.write_text(good.replace("maxUnavailable: 10%", "maxUnavailable: 3"))
    lab.until(
        lambda: lab.daemon_set()["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 3, "applied"
    )
    lab.until(
        lambda: lab.condition("AgentsRolledOut")["reason"] != "ManifestInvalid", "the condition is gone"
    )


def test_a_daemon_set_that_somebody_deletes_or_changes_is_put_right(enabled: ControllerLab):
    lab = enabled
    first = shapes.text(lab.daemon_set(), "metadata", "uid")
    lab.delete(DAEMON_SETS, AGENT_NAME, namespace=NAMESPACE)
    lab.until(lambda: shapes.text(lab.daemon_set(), "metadata", "uid") not in ("", first), "it is back")
    path = DAEMON_SETS.path(AGENT_NAME, namespace=NAMESPACE)
    lab.client.patch(path, {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}})
    lab.until(
        lambda: lab.daemon_set()["spec"]["template"]["spec"]["serviceAccountName"] == "vm-preflight-agent",
        "the manifest's service account",
    )


def test_events_tell_of_the_check(enabled: ControllerLab):
    lab = enabled
    (name,) = lab.checks()

    def reasons() -> set[str]:
        events = shapes.items(lab.client.list(f"/api/v1/namespaces/{NAMESPACE}/events"), "items")
        return {
            shapes.text(one, "reason") for one in events if shapes.text(one, "involvedObject", "name") == name
        }

    lab.until(lambda: reasons() == {"PreflightStarted", "PreflightPassed"}, "both Events")


def test_events_tell_of_a_node_at_transitions_only(enabled: ControllerLab):
    lab = enabled
    uid = shapes.text(lab.get(NODES, "w2"), "metadata", "uid")

    def told() -> list[tuple[str, str]]:
        events = shapes.items(lab.client.list("/api/v1/namespaces/default/events"), "items")
        # kube-controller-manager tells of nodes too
        own = [one for one in events if shapes.text(one, "source", "component") == CONTROLLER_NAME]
        ours = [one for one in own if shapes.text(one, "involvedObject", "uid") == uid]
        return sorted((shapes.text(one, "reason"), shapes.text(one, "message")) for one in ours)

    bad = ("NodeNotReadyForVMs", "KVM DeviceMissing; see kubectl get nodepreflight w2 -o yaml")
    good = ("NodeReadyForVMs", "every preflight check lets the node pass again")
    lab.agents.failing = {"w2"}
    lab.ask("first")
    lab.until(lambda: lab.check("first").get("pass") is False, "its verdict")
    lab.ask("second")
    lab.until(lambda: lab.check("second").get("pass") is False, "its verdict")
    lab.until(lambda: told() == [bad], "the one Event")
    lab.agents.failing = set()
    lab.ask("third")
    lab.until(lambda: told() == [bad, good], "the other Event")


def test_nonsense_by_hand_is_survived(enabled: ControllerLab):
    lab = enabled
    lab.agents.silent = {"w1", "w2"}
    lab.ask("edited")
    lab.until(lambda: lab.check("edited").get("startTime"), "it runs")
    status = {"startTime": None, "checks": {"nobody": {}}, "conditions": []}
    lab.client.patch(CHECKS.path("edited", namespace=NAMESPACE, subresource="status"), {"status": status})
    junk = {"lastActedOn": None, "enabled": None, "pendingCheck": {"name": "Not A Name", "trigger": "junk"}}
    lab.client.patch(VM_RUNTIMES.path(VM_RUNTIME_NAME, subresource="status"), {"status": junk})
    lab.agents.speak("w1", "w2")
    lab.until(lambda: lab.check("edited").get("pass") is True, "its verdict")
    assert set(lab.check("edited")["checks"]) == {"w1", "w2"}

    def put_right() -> bool:
        now = lab.status()
        return now.get("enabled") is True and "lastActedOn" in now and "pendingCheck" not in now

    lab.until(put_right, "the junk is gone")
    lab.until(lambda: lab.summary().get("preflightCheckPassed") is True, "the verdict after it")
    lab.until(lambda: lab.status().get("ready") is True, "ready again")


def test_killed_in_the_middle_of_a_run_and_started_again(lab: ControllerLab, tmp_path: Path):
    lab.add_node("w1")
    lab.add_node("w2")
    lab.agents.silent = {"w1"}
    start = partial(
        controllerprocess.start, lab.plane, "--no-leader-election", log=tmp_path / "controller.log"
    )
    process = start()
    lab.installed()
    lab.enable()
    lab.until(lambda: "w2" in {node for _, node in lab.agents.answered}, "half of the nodes answered")
    process.send_signal(signal.SIGKILL)
    process.wait()
    lab.agents.speak("w1")  # answers while nobody listens
    again = start()
    name = lab.verdict(passed=True)
    assert lab.checks() == {name}
    assert sorted(lab.agents.answered) == [(name, "w1"), (name, "w2")]
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=60) == 0
