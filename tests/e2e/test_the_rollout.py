"""The agents' DaemonSet: updated pod by pod, without an image, and in a namespace that refuses its pods."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from endtoend import EndToEnd, verdicts
from story import Story
from waiting import until

from cluster.resources import AGENT_NAME, CONTROLLER_NAME, NAMESPACE

SECONDS = 240.0
DAEMON_SET = ("daemonset", AGENT_NAME, "-n", NAMESPACE)
ABSENT = "registry.example/absent:1"
COMPLETE = 'jsonpath={.status.conditions[?(@.type=="Complete")].message}'
LEVEL = "pod-security.kubernetes.io/enforce"


@contextmanager
def watched(cluster: EndToEnd, kind: str, path: str) -> Iterator[list[str]]:
    """Collects every value that a field of objects of a kind has, as a watch of them shows it."""
    seen: list[str] = []
    command = [
        *cluster.kubectl.command,
        "get",
        kind,
        "--watch",
        "-o",
        f'jsonpath={{.metadata.name}}={path}{{"\\n"}}',
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        lines = watch.stdout
        reader = threading.Thread(target=lambda: seen.extend(line.strip() for line in lines))
        reader.start()
        try:
            until(lambda: bool(seen), f"the watch of {kind} begins")
            yield seen
        finally:
            watch.terminate()
            reader.join()


def condition(cluster: EndToEnd, kind: str) -> dict[str, Any]:
    """One of the VMRuntime's conditions."""
    (found,) = [one for one in cluster.runtime()["status"]["conditions"] if one["type"] == kind]
    return dict(found)


def test_a_rolling_update(enabled: EndToEnd, story: Story) -> None:
    """The agents are restarted one after the other: `ready` does not flap, and no verdict is lost."""
    before = {pod["metadata"]["name"] for pod in enabled.pods("agent")}
    with (
        watched(enabled, "vmruntime", "{.status.ready}") as ready,
        watched(enabled, "nodepreflights", "{.status.passed}") as passed,
        story.measure(f"kubectl rollout restart of {len(before)} agents → the last is there"),
    ):
        enabled.kubectl("rollout", "restart", *DAEMON_SET)
        done = enabled.vm_preflight("check", "vmruntimepfc", "--timeout", "300")
        enabled.kubectl("rollout", "status", *DAEMON_SET, "--timeout=240s")
    story.say(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not before & {pod["metadata"]["name"] for pod in enabled.pods("agent")}
    assert set(ready) == {"vmruntime=true"}
    assert {line.partition("=")[2] for line in passed} == {"true"}
    assert set(verdicts(enabled.checks()[-1]).values()) == {True}


@pytest.fixture
def switched_off(enabled: EndToEnd) -> EndToEnd:
    """The cluster with the VM runtime off: no agent is there."""
    done = enabled.vm_preflight("disable", "vmruntime")
    assert done.returncode == 0, done.stderr
    until(enabled.agents_are_gone, "the agents are gone", seconds=SECONDS)
    return enabled


@pytest.fixture
def without_image(switched_off: EndToEnd) -> Iterator[EndToEnd]:
    """The same, with a controller that names an image for the agents that is nowhere."""
    deployment = ("deployment", CONTROLLER_NAME, "-n", NAMESPACE)
    kubectl = switched_off.kubectl
    kubectl("set", "env", *deployment, f"VM_PREFLIGHT_AGENT_IMAGE={ABSENT}")
    kubectl("rollout", "status", *deployment, "--timeout=240s")
    yield switched_off
    kubectl("set", "env", *deployment, "VM_PREFLIGHT_AGENT_IMAGE-")
    kubectl("rollout", "status", *deployment, "--timeout=240s")


def test_the_image_is_missing(without_image: EndToEnd, story: Story) -> None:
    """The agents' image cannot be pulled: the condition says so, and the check passes once there is one."""
    cluster, deployment = without_image, ("deployment", CONTROLLER_NAME, "-n", NAMESPACE)
    known = cluster.names_of_checks()
    with story.measure("enable without an image → the condition says why"):
        assert cluster.vm_preflight("enable", "vmruntime").returncode == 0
        told = until(lambda: trouble(cluster, "ImagePull"), "the condition names it", seconds=SECONDS)
    story.say(f"AgentsRolledOut: {told}")
    assert "kubectl -n vm-system describe pod" in told
    assert condition(cluster, "Ready")["reason"] == "AgentsNotReady"
    [name] = cluster.names_of_checks() - known
    story.say(cluster.kubectl("get", "vmruntimepfc", name, "-n", NAMESPACE, "-o", COMPLETE))
    with story.measure("the image is named right → verdict of the same check"):
        cluster.kubectl("set", "env", *deployment, "VM_PREFLIGHT_AGENT_IMAGE-")
        check = until(cluster.finished_since(known), "the check ends", seconds=SECONDS)
    assert check["metadata"]["name"] == name
    assert check["status"]["pass"] is True, check["status"].get("failures")


@pytest.fixture
def refused(switched_off: EndToEnd) -> Iterator[EndToEnd]:
    """The cluster with a namespace whose label refuses privileged pods."""
    label = ("label", "--overwrite", "namespace", NAMESPACE)
    switched_off.kubectl(*label, f"{LEVEL}=baseline")
    yield switched_off
    switched_off.kubectl(*label, f"{LEVEL}=privileged")


def test_pods_that_the_namespace_refuses(refused: EndToEnd, story: Story) -> None:
    """Without the label of deploy/namespace.yaml no agent's pod is made: what one sees, and where."""
    known = refused.names_of_checks()
    with story.measure("enable where pods are refused → the condition says so"):
        assert refused.vm_preflight("enable", "vmruntime").returncode == 0
        told = until(lambda: trouble(refused, "no agent pod"), "the condition names it", seconds=SECONDS)
    story.say(f"AgentsRolledOut: {told}")
    command = told.partition("see why: ")[2].removeprefix("kubectl ").split()
    seen = until(lambda: refusal(refused, command), "the command that it names tells why", seconds=SECONDS)
    story.say(seen)
    with story.measure("label put back → verdict of the same check"):
        refused.kubectl("label", "--overwrite", "namespace", NAMESPACE, f"{LEVEL}=privileged")
        check = until(refused.finished_since(known), "the check ends", seconds=SECONDS)
    assert check["status"]["pass"] is True, check["status"].get("failures")


def trouble(cluster: EndToEnd, word: str) -> str | None:
    """The message of AgentsRolledOut once it has a word in it."""
    found = condition(cluster, "AgentsRolledOut")
    return str(found["message"]) if found["status"] == "False" and word in found["message"] else None


def refusal(cluster: EndToEnd, command: list[str]) -> str | None:
    """The line of a command's output that tells of a violated pod security level."""
    lines = [line for line in cluster.kubectl(*command).splitlines() if "violates PodSecurity" in line]
    return lines[0].strip() if lines else None
