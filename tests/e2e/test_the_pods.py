"""An agent's pod, tried from inside: what each container is, has, and may do with its own token."""

import json
from pathlib import Path
from typing import Any

import inside_pod
import pytest
from endtoend import EndToEnd
from story import Story

import cluster.resources as names

PROGRAM = Path(inside_pod.__file__).read_text()
NETWORK_ADMIN, SYSTEM_ADMIN = 1 << 12, 1 << 21
"""CAP_NET_ADMIN and CAP_SYS_ADMIN (include/uapi/linux/capability.h), which privileged containers have."""
GIVEN = {"HOME", "HOSTNAME", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "LANG", "GPG_KEY"}
"""Names of the environment that come from the image or the runtime."""


def inside(cluster: EndToEnd, pod: str, container: str, *words: str) -> Any:
    """Runs the program in a container, and returns what it found."""
    command = ("exec", "-i", "-n", names.NAMESPACE, pod, "-c", container, "--", "python", "-", *words)
    return json.loads(cluster.kubectl(*command, stdin=PROGRAM))


def agent_on(cluster: EndToEnd, node: str) -> str:
    """Name of the agent's pod on a node."""
    (pod,) = [pod for pod in cluster.pods("agent") if pod["spec"]["nodeName"] == node]
    return str(pod["metadata"]["name"])


@pytest.fixture
def node(enabled: EndToEnd) -> str:
    """One of the nodes with an agent."""
    return enabled.nodes_that_take_part()[0]


def of_the_service(name: str) -> bool:
    """Whether the kubelet sets a variable in every pod, to tell where the API server is."""
    return name.startswith("KUBERNETES_")


def test_the_privileged_container(enabled: EndToEnd, node: str, story: Story) -> None:
    """The probe, privileged: no token, no port, no environment of ours, nothing that it can write to."""
    seen = inside(enabled, agent_on(enabled, node), "probe", "look")
    assert "probe" in seen["command"]
    assert seen["uid"] == 0
    assert seen["capabilities"]["CapEff"] & NETWORK_ADMIN
    assert seen["capabilities"]["CapEff"] & SYSTEM_ADMIN
    assert not seen["token"]
    assert seen["listens"] == []
    assert {name for name in seen["environment"] if not of_the_service(name)} <= GIVEN
    assert seen["writable"] == ["/run/vm-preflight"]
    story.say(f"uid {seen['uid']}, no token, no port, environment {', '.join(seen['environment'])}")


def test_the_other_container(enabled: EndToEnd, node: str, story: Story) -> None:
    """The agent: no capability, uid 65532, a read-only root, no device of the host."""
    seen = inside(enabled, agent_on(enabled, node), "agent", "look")
    assert "agent" in seen["command"]
    assert (seen["uid"], seen["gid"]) == (65532, 65532)
    assert seen["capabilities"] == {"CapEff": 0, "CapPrm": 0, "CapInh": 0, "CapBnd": 0}
    assert seen["no new privileges"]
    assert seen["seccomp"] == 2, "a filter is in force: RuntimeDefault"
    assert seen["writable"] == []
    assert not {"kvm", "vhost-net", "net", "mem", "sda", "vda"} & set(seen["devices"])
    assert len(seen["listens"]) == 1, "for metrics, and nothing else"
    story.say(f"uid {seen['uid']}, capabilities {seen['capabilities']['CapBnd']}, devices {seen['devices']}")
    story.say(f"shells in the image: {', '.join(seen['shells']) or 'none'}")


def test_its_token(enabled: EndToEnd, node: str, story: Story) -> None:
    """The agent's own token names its node, and can write that node's status: no other's, nothing else."""
    other = enabled.nodes_that_take_part()[-1]
    mine, others = names.NODE_PREFLIGHTS.path(node), names.NODE_PREFLIGHTS.path(other)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    nothing: dict[str, Any] = {"status": {}}
    tried: list[tuple[str, str, Any, int]] = [
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, 201),
        ("GET", mine, None, 200),
        ("PATCH", f"{mine}/status", nothing, 200),
        ("PATCH", f"{others}/status", nothing, 403),
        ("PATCH", mine, {"spec": {"skip": True}}, 403),
        ("DELETE", mine, None, 403),
        ("GET", names.NODES.path(node), None, 403),
        ("PATCH", names.NODES.path(node), {"metadata": {"labels": {"x": "y"}}}, 403),
        ("GET", "/api/v1/secrets", None, 403),
        ("GET", f"/api/v1/namespaces/{names.NAMESPACE}/secrets", None, 403),
        ("GET", f"/api/v1/namespaces/{names.NAMESPACE}/configmaps", None, 403),
        ("PATCH", names.VM_RUNTIMES.path("vmruntime"), {"spec": {"enabled": False}}, 403),
    ]
    if other == node:
        tried = [one for one in tried if others not in one[1] or mine == one[1]]
    asked = [(method, path, body) for method, path, body, _ in tried]
    answers = inside(enabled, agent_on(enabled, node), "agent", "ask", json.dumps(asked))
    for (method, path, _, status), (answered, said) in zip(tried, answers, strict=True):
        assert answered == status, f"{method} {path}: {answered} {said}"
        if answered == 403:
            story.say(f"{method} {path}: {said}")
    who = json.loads(answers[0][1])["status"]["userInfo"]
    assert who["username"] == f"system:serviceaccount:{names.NAMESPACE}:{names.AGENT_NAME}"
    assert who["extra"]["authentication.kubernetes.io/node-name"] == [node]
