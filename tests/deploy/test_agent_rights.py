"""What an agent's token may do, tried on a real API server with tokens bound to pods on nodes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from controlplane import ControlPlane
from rights import listed
from waiting import until

import cluster.resources as names
from preflight.report import MAX_NAME, MAX_RESULTS, NAME
from preflight.result import MAX_TEXT

NODE, OTHER = "rights-1", "rights-2"
PODS = names.PODS.path(namespace="vm-system")
ANSWER = {"status": {"runID": "1", "passed": True}}


def preflight(name: str) -> str:
    return names.NODE_PREFLIGHTS.path(name)


def agent_pod(name: str) -> dict[str, object]:
    """A pod of the agent's service account on the first node."""
    containers = [{"name": "agent", "image": "none"}]
    spec = {"nodeName": NODE, "serviceAccountName": names.AGENT_NAME, "containers": containers}
    return {"metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True, slots=True)
class Agent:
    """The API server from the point of view of the agent on the first of two nodes."""

    plane: ControlPlane
    token: str

    def tries(self, method: str, path: str, body: dict[str, object] | None = None) -> tuple[int, str]:
        """Returns the answer's status and message."""
        status, answer = self.plane.request(method, path, body, token=self.token)
        return status, str(answer.get("message", ""))


@pytest.fixture(scope="module")
def agent(installed: ControlPlane) -> Iterator[Agent]:
    """Two nodes with their NodePreflights, and the token of an agent's pod on the first."""
    for name in (NODE, OTHER):
        installed.request("POST", names.NODES.path(), {"metadata": {"name": name}})
        body = {"apiVersion": "kubevm.io/v1alpha1", "kind": "NodePreflight", "metadata": {"name": name}}
        assert installed.request("POST", names.NODE_PREFLIGHTS.path(), body)[0] == 201
    status, made = installed.request("POST", PODS, agent_pod("agent"))
    assert status == 201, made
    agent = Agent(installed, installed.token(names.AGENT_NAME, "vm-system", pod="agent"))
    # both are in force some time after they were installed: RBAC's grant, and then the policy's refusal
    until(lambda: agent.tries("PATCH", f"{preflight(NODE)}/status", ANSWER)[0] == 200, "the agent's rights")
    until(lambda: agent.tries("PATCH", f"{preflight(OTHER)}/status", ANSWER)[0] == 403, "the policy")
    yield agent
    installed.request("DELETE", f"{PODS}/agent?gracePeriodSeconds=0")
    for name in (NODE, OTHER):
        installed.request("DELETE", preflight(name))
        installed.request("DELETE", names.NODES.path(name))


def test_reads_and_answers_its_own_node(agent: Agent) -> None:
    assert agent.tries("GET", preflight(NODE))[0] == 200
    assert agent.tries("PATCH", f"{preflight(NODE)}/status", ANSWER)[0] == 200


def test_another_nodes_answer_is_refused_by_name(agent: Agent) -> None:
    status, said = agent.tries("PATCH", f"{preflight(OTHER)}/status", ANSWER)

    assert status == 403
    assert said.endswith(f"the agent of node {NODE} may write the NodePreflight {NODE} only")


def test_replacing_is_confined_like_patching(agent: Agent) -> None:
    _, own = agent.plane.request("GET", preflight(NODE))
    _, other = agent.plane.request("GET", preflight(OTHER))

    assert agent.tries("PUT", f"{preflight(NODE)}/status", {**own, **ANSWER})[0] == 200
    assert agent.tries("PUT", f"{preflight(OTHER)}/status", {**other, **ANSWER})[0] == 403


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_status_write_changes_nothing_else(agent: Agent, method: str) -> None:
    before = agent.plane.get_json("npf", NODE)
    owner = {"apiVersion": "v1", "kind": "Node", "name": OTHER, "uid": "1"}
    change: dict[str, object] = {
        **before,
        **ANSWER,
        "spec": {"skip": True},
        "metadata": {
            **before["metadata"],
            "labels": {"a": "b"},
            "annotations": {"a": "b"},
            "finalizers": ["example.com/held"],
            "ownerReferences": [owner],
        },
    }

    assert agent.tries(method, f"{preflight(NODE)}/status", change)[0] == 200

    after = agent.plane.get_json("npf", NODE)
    assert after["spec"] == before["spec"]
    assert _told(after) == _told(before)


def _told(wire: dict[str, object]) -> dict[str, object]:
    """An object's metadata without what every write changes."""
    return {
        key: value
        for key, value in wire["metadata"].items()
        if key not in ("resourceVersion", "managedFields")
    }


def test_all_that_it_may(agent: Agent) -> None:
    wanted = {
        "nodepreflights.kubevm.io": "get list watch",
        "nodepreflights/status.kubevm.io": "get patch update",
    }
    everybodys = listed(agent.plane, agent.plane.token("default", "vm-system"), "vm-system")

    assert not wanted.keys() & everybodys.keys()
    for namespace in ("vm-system", "default", "kube-system"):
        found = listed(agent.plane, agent.token, namespace)
        assert {what: verbs for what, verbs in found.items() if what not in everybodys} == wanted


def test_kubectl_can_answer_with_an_agents_token(agent: Agent) -> None:
    """It reads the subresource first, which is a right of its own."""
    mine = agent.plane.kubeconfig_for_token(agent.token)
    answer = (
        "patch",
        "nodepreflight",
        NODE,
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps(ANSWER),
    )
    assert "patched" in agent.plane.kubectl(*answer, kubeconfig=mine)


VERBS = {
    "get": ("GET", "/some", None),
    "list": ("GET", "", None),
    "watch": ("GET", "?watch=true", None),
    "create": ("POST", "", {"metadata": {"name": "some"}}),
    "update": ("PUT", "/some", {"metadata": {"name": "some"}}),
    "patch": ("PATCH", "/some", {"metadata": {"labels": {"a": "b"}}}),
    "delete": ("DELETE", "/some", None),
    "deletecollection": ("DELETE", "", None),
}
NOTHING_OF = (
    names.NODES.path(),
    names.VM_RUNTIMES.path(),
    names.CHECKS.path(namespace="vm-system"),
    names.DAEMON_SETS.path(namespace="vm-system"),
    names.LEASES.path(namespace="vm-system"),
    names.EVENTS.path(namespace="vm-system"),
    PODS,
    "/api/v1/namespaces/vm-system/secrets",
    "/api/v1/namespaces/vm-system/configmaps",
    "/api/v1/namespaces/vm-system/serviceaccounts",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("path", NOTHING_OF, ids=lambda path: path.rpartition("/")[2])
def test_other_kinds_are_forbidden(agent: Agent, path: str, verb: str) -> None:
    method, rest, body = VERBS[verb]

    status, said = agent.tries(method, path + rest, body)

    assert status == 403
    assert f'cannot {verb} resource "' in said


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", preflight(NODE), {"spec": {"skip": True}}),
        ("PATCH", preflight(NODE), {"metadata": {"labels": {"a": "b"}}}),
        ("PATCH", preflight(NODE), {"metadata": {"ownerReferences": []}}),
        ("PUT", preflight(NODE), {"metadata": {"name": NODE}}),
        ("DELETE", preflight(NODE), None),
        ("DELETE", names.NODE_PREFLIGHTS.path(), None),
        (
            "POST",
            names.NODE_PREFLIGHTS.path(),
            {"apiVersion": "kubevm.io/v1alpha1", "kind": "NodePreflight", "metadata": {"name": "new"}},
        ),
        ("PATCH", names.VM_RUNTIMES.path(names.VM_RUNTIME_NAME, subresource="status"), {"status": {}}),
        ("PATCH", names.CHECKS.path("some", namespace="vm-system", subresource="status"), {"status": {}}),
        ("PATCH", names.NODES.path(NODE, subresource="status"), {"status": {}}),
        ("POST", f"/api/v1/namespaces/vm-system/serviceaccounts/{names.AGENT_NAME}/token", {"spec": {}}),
        ("POST", f"/api/v1/namespaces/vm-system/serviceaccounts/{names.CONTROLLER_NAME}/token", {"spec": {}}),
        ("GET", f"{PODS}/agent/exec?command=sh", None),
        ("GET", f"{names.NODES.path(NODE)}/proxy/metrics", None),
    ],
)
def test_so_is_all_but_the_own_status(
    agent: Agent, method: str, path: str, body: dict[str, object] | None
) -> None:
    assert agent.tries(method, path, body)[0] == 403


@pytest.mark.parametrize(
    "somebody", ["--as=admin", f"--as=system:node:{NODE}", "--as=x --as-group=system:masters"]
)
def test_it_can_be_nobody_else(agent: Agent, somebody: str) -> None:
    kubeconfig = agent.plane.kubeconfig_for_token(agent.token)

    said = agent.plane.run_kubectl("get", "npf", *somebody.split(), kubeconfig=kubeconfig)

    assert said.returncode == 1
    assert "cannot impersonate" in said.stderr


def test_a_token_without_a_node_is_refused_with_the_reason(agent: Agent) -> None:
    unbound = Agent(agent.plane, agent.plane.token(names.AGENT_NAME, "vm-system"))

    status, said = unbound.tries("PATCH", f"{preflight(NODE)}/status", ANSWER)

    assert status == 403
    assert "the agent's token names no node" in said


def test_the_token_of_a_deleted_pod_is_worth_nothing(agent: Agent) -> None:
    status, _ = agent.plane.request("POST", PODS, agent_pod("goes"))
    assert status == 201
    gone = Agent(agent.plane, agent.plane.token(names.AGENT_NAME, "vm-system", pod="goes"))
    assert gone.tries("GET", preflight(NODE))[0] == 200

    agent.plane.request("DELETE", f"{PODS}/goes?gracePeriodSeconds=0")

    # the API server remembers for ten seconds that a token was good
    until(lambda: gone.tries("GET", preflight(NODE))[0] == 401, "its end")
    assert gone.tries("PATCH", f"{preflight(NODE)}/status", ANSWER)[0] == 401


def test_other_service_accounts_may_nothing(agent: Agent) -> None:
    other = Agent(agent.plane, agent.plane.token("default", "vm-system"))

    assert other.tries("GET", preflight(NODE))[0] == 403
    assert other.tries("PATCH", f"{preflight(NODE)}/status", ANSWER)[0] == 403


@pytest.mark.parametrize(("token", "refusal"), [("made-up", 401), ("", 403)], ids=["made up", "none"])
def test_without_a_token_nothing_is_let_through(agent: Agent, token: str, refusal: int) -> None:
    """What the probe could do: it has no token."""
    anybody = Agent(agent.plane, token)

    assert anybody.tries("GET", preflight(NODE))[0] == refusal
    assert anybody.tries("PATCH", f"{preflight(NODE)}/status", ANSWER)[0] == refusal


def test_the_policy_holds_even_if_rbac_gave_more(agent: Agent) -> None:
    plane = agent.plane
    plane.kubectl(
        "create", "clusterrolebinding", "too-much", "--clusterrole=cluster-admin",
        f"--serviceaccount=vm-system:{names.AGENT_NAME}",
    )  # fmt: skip
    try:
        until(lambda: agent.tries("GET", PODS)[0] == 200, "the binding")
        status, said = agent.tries("PATCH", preflight(NODE), {"spec": {"skip": True}})
        assert status == 403, said
        assert "an agent may write a NodePreflight's status only" in said
        assert agent.tries("DELETE", preflight(OTHER))[0] == 403
    finally:
        plane.kubectl("delete", "clusterrolebinding", "too-much")
        until(lambda: agent.tries("GET", PODS)[0] == 403, "the binding's end")


def test_others_are_not_confined(agent: Agent) -> None:
    path = f"{preflight(OTHER)}/status"

    assert agent.plane.request("PATCH", path, ANSWER)[0] == 200


def result(**changes: object) -> dict[str, object]:
    return {"status": {"results": [{"checkName": "KVM", "status": "Pass", "passed": True, **changes}]}}


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (result(), ""),
        (result(reason="GuestRan", message="a" * 2048, hint="ü" * 2048, durationSeconds=0.5), ""),
        (result(message="a" * 2049), "may not be more than 2048"),
        (result(hint="a" * 2049), "may not be more than 2048"),
        (result(message="\x1b]0;owned\x07"), "should match"),
        (result(message="two\nlines"), "should match"),
        (result(hint="\u009b31m"), "should match"),
        (result(checkName="KVM: {a: b}\n- c"), "should match"),
        (result(checkName="K" * 64), "should match"),
        (result(reason="\x1b[2J"), "should match"),
        (result(status="Perfect"), "Unsupported value"),
        (result(passed="yes"), "must be of type boolean"),
        (result(durationSeconds=-1), "should be greater than or equal to 0"),
        ({"status": {"results": [result()["status"]["results"][0]] * 257}}, "must have at most 256 items"),
        ({"status": {"results": {"a": "b"}}}, "must be of type array"),
        ({"status": {"passed": 1}}, "must be of type boolean"),
        ({"status": {"mode": "Magic"}}, "Unsupported value"),
        ({"status": {"completionTime": "yesterday"}}, "must be of type date-time"),
        ({"status": {"runID": "a" * 254}}, "may not be more than 253"),
        ({"status": {"kernelVersion": "6.1\x1b[31m"}}, "should match"),
        ({"status": {"failedChecks": "KVM\nREADY   true"}}, "should match"),
        ({"status": {"x": "a" * 4_000_000}}, "Request entity too large"),
    ],
    ids=lambda value: str(value)[:40].encode("unicode_escape").decode(),
)
def test_a_hostile_answer_is_refused(agent: Agent, answer: dict[str, object], refused: str) -> None:
    """Whoever takes over a node can lie about that node, and no more: not to a terminal, not in bulk."""
    status, said = agent.tries("PATCH", f"{preflight(NODE)}/status", answer)

    assert (status == 200) is (refused == ""), said
    assert refused in said


def test_the_schema_holds_what_an_agent_can_find(agent: Agent) -> None:
    """What the schema refused an agent would send again and again: its bounds are those of a report."""
    crd = agent.plane.get_json("crd", "nodepreflights.kubevm.io")
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    result = status["results"]["items"]["properties"]

    assert status["results"]["maxItems"] == MAX_RESULTS
    assert {result[name]["maxLength"] for name in ("message", "hint")} == {MAX_TEXT}
    assert {result[name]["pattern"] for name in ("checkName", "reason")} == {f"^{NAME.pattern}$"}
    assert status["failedChecks"]["maxLength"] >= MAX_RESULTS * len(f"{'K' * 63},")
    assert {status[name]["maxLength"] for name in ("kernelVersion", "agentVersion", "bootID")} == {MAX_NAME}


def test_what_the_schema_does_not_know_is_dropped(agent: Agent) -> None:
    answer = {"status": {**ANSWER["status"], "gate": "open", "results": []}}

    assert agent.tries("PATCH", f"{preflight(NODE)}/status", answer)[0] == 200

    assert "gate" not in agent.plane.get_json("npf", NODE)["status"]
