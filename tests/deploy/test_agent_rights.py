"""What an agent's token may do, tried on a real API server with tokens bound to pods on nodes."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from controlplane import ControlPlane
from waiting import until

import cluster.resources as names

NODE, OTHER = "rights-1", "rights-2"
PODS = names.PODS.path(namespace="vm-system")
ANSWER = {"status": {"runID": "1", "passed": True}}


def preflight(name: str) -> str:
    return names.NODE_PREFLIGHTS.path(name)


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
    spec = {
        "nodeName": NODE,
        "serviceAccountName": names.AGENT_NAME,
        "containers": [{"name": "agent", "image": "none"}],
    }
    status, made = installed.request("POST", PODS, {"metadata": {"name": "agent"}, "spec": spec})
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


def test_a_status_write_changes_nothing_else(agent: Agent) -> None:
    before = agent.plane.get_json("npf", NODE)
    change = {**ANSWER, "spec": {"skip": True}, "metadata": {"labels": {"a": "b"}, "ownerReferences": []}}

    assert agent.tries("PATCH", f"{preflight(NODE)}/status", change)[0] == 200

    after = agent.plane.get_json("npf", NODE)
    assert (after["spec"], after["metadata"].get("labels")) == (
        before["spec"],
        before["metadata"].get("labels"),
    )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", preflight(NODE), {"spec": {"skip": True}}),
        ("DELETE", preflight(NODE), None),
        (
            "POST",
            names.NODE_PREFLIGHTS.path(),
            {"apiVersion": "kubevm.io/v1alpha1", "kind": "NodePreflight", "metadata": {"name": "new"}},
        ),
        ("GET", names.VM_RUNTIMES.path(), None),
        ("PATCH", names.VM_RUNTIMES.path(names.VM_RUNTIME_NAME), {"spec": {"enabled": False}}),
        ("GET", names.CHECKS.path(namespace="vm-system"), None),
        ("GET", names.NODES.path(NODE), None),
        ("PATCH", names.NODES.path(NODE), {"metadata": {"labels": {"a": "b"}}}),
        ("PATCH", names.NODES.path(NODE, subresource="status"), {"status": {}}),
        ("GET", "/api/v1/namespaces/vm-system/secrets", None),
        ("GET", PODS, None),
        ("POST", names.EVENTS.path(namespace="default"), {"metadata": {"name": "e"}}),
    ],
)
def test_everything_else_is_forbidden(
    agent: Agent, method: str, path: str, body: dict[str, object] | None
) -> None:
    assert agent.tries(method, path, body)[0] == 403


def test_a_token_without_a_node_is_refused_with_the_reason(agent: Agent) -> None:
    unbound = Agent(agent.plane, agent.plane.token(names.AGENT_NAME, "vm-system"))

    status, said = unbound.tries("PATCH", f"{preflight(NODE)}/status", ANSWER)

    assert status == 403
    assert "the agent's token names no node" in said


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
