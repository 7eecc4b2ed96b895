"""The agent against a real API server, with the rights and the token that its pod has."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from agentlab import AgentProcess, Lab
from controlplane import ControlPlane
from waiting import until

from cluster import node_preflight
from cluster.node_preflight import RunRequest
from cluster.resources import AGENT_NAME, NAMESPACE, NODE_PREFLIGHTS, NODES, PODS
from cluster.shapes import text

NODE = "agent-test-node"


class Cluster:
    """The API server from the point of view of the controller, for one node."""

    def __init__(self, plane: ControlPlane, lab: Lab) -> None:
        self.plane = plane
        self.lab = lab
        self.node_uid = text(
            self.make(NODES.path(), {"kind": "Node", "metadata": {"name": NODE}}), "metadata", "uid"
        )
        container = {"name": "agent", "image": "none"}
        spec = {"nodeName": NODE, "serviceAccountName": AGENT_NAME, "containers": [container]}
        pod = {"kind": "Pod", "metadata": {"name": NODE, "namespace": NAMESPACE}, "spec": spec}
        self.make(PODS.path(namespace=NAMESPACE), pod)

    def make(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        status, made = self.plane.request("POST", path, {"apiVersion": "v1", **body})
        assert status == 201, made
        return made

    def make_object(self, **spec: object) -> None:
        self.make(NODE_PREFLIGHTS.path(), node_preflight.spec_body(NODE, node_uid=self.node_uid, **spec))  # type: ignore[arg-type]  # as given

    def change(self, spec: Mapping[str, object]) -> None:
        status, answer = self.plane.request("PATCH", NODE_PREFLIGHTS.path(NODE), {"spec": spec})
        assert status == 200, answer

    def ask(self, run_id: str, seconds: float = 60) -> None:
        deadline = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        self.change({"run": {"id": run_id, "check": f"check-{run_id}", "deadline": deadline}})

    def status(self) -> dict[str, object]:
        _, found = self.plane.request("GET", NODE_PREFLIGHTS.path(NODE))
        status = found.get("status", {})
        assert isinstance(status, dict)
        return status

    def version(self) -> str:
        return text(self.plane.request("GET", NODE_PREFLIGHTS.path(NODE))[1], "metadata", "resourceVersion")

    def answered(self, run_id: str) -> dict[str, object]:
        return until(
            lambda: self.status().get("runID") == run_id and self.status(), f"run {run_id} to be answered"
        )

    def agent(self) -> AgentProcess:
        token = self.plane.token(AGENT_NAME, NAMESPACE, pod=NODE)
        return self.lab.agent(kubeconfig=str(self.plane.kubeconfig_for_token(token)), node=NODE)

    def clean(self) -> None:
        for path in (NODE_PREFLIGHTS.path(NODE), NODES.path(NODE)):
            self.plane.request("DELETE", path)
        self.plane.kubectl(
            "delete", "pod", NODE, "-n", NAMESPACE, "--force", "--grace-period=0", "--ignore-not-found"
        )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path) as made:
        yield made


@pytest.fixture
def cluster(installed: ControlPlane, lab: Lab) -> Iterator[Cluster]:
    made = Cluster(installed, lab)
    yield made
    made.clean()


def test_answers_its_own_runs_and_tells_changes(cluster: Cluster, lab: Lab) -> None:
    lab.probe("Fine")
    cluster.make_object()
    agent = cluster.agent()
    first = until(lambda: cluster.status().get("passed") and cluster.status(), "the first verdict")
    assert "runID" not in first
    assert [result["checkName"] for result in first["results"]] == ["Fine"]
    assert {"startTime", "completionTime", "kernelVersion", "agentVersion", "bootID"} <= first.keys()

    cluster.ask("r1")
    answer = cluster.answered("r1")
    assert answer["passed"] is True
    assert answer["failedChecks"] == ""
    assert agent.metric("runs_total", trigger="Requested") == 1
    assert agent.get("/readyz") == (200, "ok\n")

    before = cluster.version()
    agent.hang_up()
    until(lambda: agent.metric("runs_total", trigger="Signal") == 1, "a run that nobody asked for")
    cluster.ask("r2")
    cluster.answered("r2")
    assert cluster.version() != before

    def published() -> list[object]:
        return [entry["run"] for entry in agent.log() if entry["event"] == "answer published"]

    until(lambda: "r2" in published(), "the agent to hear that its answer was taken")
    assert agent.terminate() == 0  # with which its log is complete
    # One write asked and one answered: the run that nobody asked for wrote nothing in between.
    assert published() == ["", "r1", "r2"]


def test_skipped_node_is_idle_until_it_is_not(cluster: Cluster, lab: Lab) -> None:
    lab.probe("Fine")
    cluster.make_object(
        skip=True, run=RunRequest("r1", "check-r1", datetime.now(UTC) + timedelta(seconds=60))
    )
    agent = cluster.agent()
    until(lambda: agent.metric("skipped") == 1, "the skip to be seen")
    until(lambda: agent.metric("probe_up") == 1, "the probe")
    assert cluster.status() == {}
    assert "carries the skip label" in agent.get("/")[1]
    cluster.change({"skip": False})
    assert cluster.answered("r1")["passed"] is True


def test_run_that_was_asked_for_while_the_agent_was_away_is_answered(cluster: Cluster, lab: Lab) -> None:
    lab.probe("Fine")
    cluster.make_object()
    cluster.ask("r1")
    agent = cluster.agent()
    cluster.answered("r1")
    assert agent.metric("runs_total", trigger="Startup") == 0


def test_configuration_reaches_the_verdict(cluster: Cluster, lab: Lab) -> None:
    lab.probe("Crasher")
    cluster.make_object()
    cluster.agent()
    cluster.ask("r1")
    assert cluster.answered("r1")["failedChecks"] == "Crasher"
    cluster.change({"config": {"ignoredChecks": ["Crasher"]}})
    cluster.ask("r2")
    answer = cluster.answered("r2")
    assert (answer["passed"], answer["failedChecks"]) == (True, "")
    assert answer["results"][0]["status"] == "Warn"


def test_run_without_a_probe_is_answered_and_says_why(cluster: Cluster) -> None:
    cluster.make_object(run=RunRequest("r1", "check-r1", datetime.now(UTC) + timedelta(seconds=1)))
    agent = cluster.agent()
    answer = cluster.answered("r1")
    assert (answer["passed"], answer["failedChecks"]) == (False, "Probe")
    (result,) = answer["results"]
    assert (result["status"], result["reason"]) == ("Unknown", "ProbeUnavailable")
    assert "No such file or directory" in result["message"]
    assert agent.get("/readyz")[0] == 503


def test_agent_waits_for_its_object(cluster: Cluster, lab: Lab) -> None:
    lab.probe("Fine")
    agent = cluster.agent()
    until(lambda: agent.metric("passed") == 1, "a run for the metrics")
    until(lambda: agent.get("/readyz") == (200, "ok\n"), "the watch, which comes after the list")
    cluster.make_object()
    until(lambda: cluster.status().get("passed"), "the first verdict")
    cluster.plane.request("DELETE", NODE_PREFLIGHTS.path(NODE))
    cluster.make_object()
    until(lambda: cluster.status().get("passed"), "the verdict of the new object")
    assert agent.metric("publish_errors_total") is None


def test_an_agent_cannot_write_for_another_node(cluster: Cluster, lab: Lab) -> None:
    lab.probe("Fine")
    # Owned by a Node that is there: else the garbage collector takes it away, sooner or later.
    node = cluster.make(NODES.path(), {"kind": "Node", "metadata": {"name": "agent-test-other"}})
    other = node_preflight.spec_body("agent-test-other", node_uid=text(node, "metadata", "uid"))
    cluster.make(NODE_PREFLIGHTS.path(), other)
    try:
        token = cluster.plane.token(AGENT_NAME, NAMESPACE, pod=NODE)
        kubeconfig = str(cluster.plane.kubeconfig_for_token(token))
        agent = lab.agent(kubeconfig=kubeconfig, node="agent-test-other")
        until(lambda: agent.metric("publish_errors_total", code="403"), "a refusal", seconds=60)
        _, found = cluster.plane.request("GET", NODE_PREFLIGHTS.path("agent-test-other"))
        assert "status" not in found
    finally:
        cluster.plane.request("DELETE", NODE_PREFLIGHTS.path("agent-test-other"))
        cluster.plane.request("DELETE", NODES.path("agent-test-other"))
