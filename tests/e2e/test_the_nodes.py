"""Nodes on which something happens: the device goes and comes, the node goes and comes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from endtoend import EndToEnd, reasons, verdicts
from realcluster import RealCluster
from story import Story
from waiting import until

from cluster.resources import NAMESPACE

SECONDS = 120.0
GIVEN_UP = "300"
"""Seconds that a command waits for a verdict: a silent node is waited for 120 s."""


def passed(cluster: EndToEnd, node: str) -> bool | None:
    """A node's verdict as its NodePreflight has it."""
    verdict: bool | None = cluster.node_preflight(node).get("status", {}).get("passed")
    return verdict


def events(cluster: EndToEnd, node: str, reason: str) -> int:
    """How often an Event on a Node was told."""
    found = cluster.kubectl.get(
        "events", "-n", "default", "--field-selector", f"involvedObject.name={node},reason={reason}"
    )
    return sum(event.get("count") or event.get("series", {}).get("count") or 1 for event in found["items"])


def metric(cluster: EndToEnd, node: str, name: str) -> str:
    """The value of one of the agent's metrics."""
    (pod,) = [pod for pod in cluster.pods("agent") if pod["spec"]["nodeName"] == node]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}:9955/proxy/metrics"
    (line,) = [
        line for line in cluster.kubectl("get", "--raw", path).splitlines() if line.startswith(f"{name} ")
    ]
    return line.partition(" ")[2]


def test_drift(enabled: EndToEnd, own: RealCluster, story: Story) -> None:
    """One node loses its /dev/kvm while nobody asks, and gets it back: three places tell."""
    node = own.node("n3")
    with told(enabled, story, "/dev/kvm gone", reason="NodeNotReadyForVMs", verdict=False):
        node.hide_kvm()
    assert reasons(enabled.node_preflight("n3")["status"])["KVM"] == "DeviceMissing"
    assert enabled.runtime()["status"]["ready"] is True, "a run that nobody asked for closes no gate"
    with told(enabled, story, "/dev/kvm back", reason="NodeReadyForVMs", verdict=True):
        node.show_kvm()
    assert reasons(enabled.node_preflight("n3")["status"])["KVM"] == "GuestRan"


@contextmanager
def told(cluster: EndToEnd, story: Story, what: str, *, reason: str, verdict: bool) -> Iterator[None]:
    """What is done within is told of n3 in three places; how long after it, is measured."""
    events_before = events(cluster, "n3", reason)
    began = time.monotonic()
    yield
    looks = {
        "NodePreflight": lambda: passed(cluster, "n3") is verdict,
        "metric": lambda: float(metric(cluster, "n3", "vm_preflight_passed")) == float(verdict),
        "Event": lambda: events(cluster, "n3", reason) > events_before,
    }
    for place, look in looks.items():
        until(look, f"{what}: {place}", seconds=SECONDS)
        story.measured.append((f"{what} → {place}", time.monotonic() - began))
        story.say(f"{time.monotonic() - began:.1f} s  {what} → {place}")


def test_no_write_while_nothing_changes(enabled: EndToEnd, story: Story) -> None:
    """Nothing of ours is written while nothing changes."""
    kinds = ("vmruntime", "vmruntimepfc", "nodepreflights", "daemonset")

    def versions() -> list[str]:
        found = [item for kind in kinds for item in enabled.kubectl.get(kind, "-n", NAMESPACE)["items"]]
        return [item["metadata"]["resourceVersion"] for item in found]

    until(lambda: settled(versions), "what went before is written", seconds=SECONDS)
    before = versions()
    time.sleep(20)  # two of the controller's own looks
    assert versions() == before
    story.say(f"{len(before)} objects, none written in 20 s")


def settled(versions: Callable[[], list[str]]) -> bool:
    """Whether nothing was written for some seconds."""
    before = versions()
    time.sleep(7)  # longer than a running check's status waits to be written
    return versions() == before


def test_a_node_that_is_stopped_and_comes_back(enabled: EndToEnd, own: RealCluster, story: Story) -> None:
    """A node is switched off: the check names it and what to do, and passes again when it is back."""
    [controller] = enabled.pods("controller")
    gone = next(name for name in sorted(own.nodes) if name != controller["spec"]["nodeName"])
    own.node(gone).stop()
    story.say(f"{gone} is switched off")
    with story.measure("check of a cluster with a dead node → verdict"):
        done = enabled.vm_preflight("check", "vmruntimepfc", "--timeout", GIVEN_UP)
    story.say(done.stdout)
    assert done.returncode == 1, done.stderr
    check = enabled.checks()[-1]
    story.say(f"from {check['status']['startTime']} to {check['status']['completionTime']}")
    assert verdicts(check) == {name: name != gone for name in own.nodes}
    assert reasons(check["status"]["failures"][gone]) == {"Agent": "NodeNotReady"}
    assert f"kubectl describe node {gone}" in done.stdout
    with story.measure(f"{gone} is switched on → Ready"):
        own.start_node(gone)
    with story.step("its agent serves again"):
        until(lambda: served(enabled, gone), f"{gone} is served", seconds=SECONDS)
    done = enabled.vm_preflight("check", "vmruntimepfc", "--timeout", GIVEN_UP)
    story.say(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: enabled.runtime()["status"]["ready"], "the VM runtime is ready", seconds=SECONDS)


def served(cluster: EndToEnd, node: str) -> bool:
    """Whether a node's agent is ready."""
    return any(
        (condition["type"], condition["status"]) == ("Ready", "True")
        for pod in cluster.pods("agent")
        if pod["spec"].get("nodeName") == node
        for condition in pod["status"].get("conditions", [])
    )
