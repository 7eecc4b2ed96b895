"""The controller's pods: one that is deleted in the middle of a run, and one that takes over from another."""

from collections.abc import Iterator

import pytest
from endtoend import EndToEnd, verdicts
from realcluster import RealCluster
from story import Story
from waiting import until

from cluster.resources import CONTROLLER_NAME, LEASE_NAME, NAMESPACE

SECONDS = 120.0
CHECK = """\
apiVersion: vm.cluster.gke.io/v1
kind: VMRuntimePreflightCheck
metadata:
  name: {name}
  namespace: vm-system
"""


def identity(cluster: EndToEnd) -> str:
    """The controller that leads: its pod, and the process in it; empty while none does."""
    lease = cluster.kubectl.get("lease", LEASE_NAME, "-n", NAMESPACE)
    return str(lease["spec"].get("holderIdentity") or "")


def holder(cluster: EndToEnd) -> str:
    """Name of the pod that leads; empty while none does."""
    return identity(cluster).partition("_")[0]


def ready_controllers(cluster: EndToEnd) -> list[str]:
    """Names of the controller's pods that are ready."""
    return [
        pod["metadata"]["name"]
        for pod in cluster.pods("controller")
        if "deletionTimestamp" not in pod["metadata"]
        for condition in pod["status"].get("conditions", [])
        if (condition["type"], condition["status"]) == ("Ready", "True")
    ]


@pytest.fixture
def held_up(enabled: EndToEnd, own: RealCluster) -> Iterator[str]:
    """A node whose probe is stopped (SIGSTOP), so that a run goes on until it is let go; yields its name."""
    (process,) = own.node("n3").run(["pgrep", "-f", "vm-preflight probe"]).split()[:1]
    own.node("n3").run(["kill", "-STOP", process])
    yield "n3"
    own.node("n3").run(["kill", "-CONT", process])


def test_deleted_in_the_middle_of_a_run(
    enabled: EndToEnd, own: RealCluster, held_up: str, story: Story
) -> None:
    """The controller's pod is deleted while a check waits for a node: the next one ends the same check."""
    enabled.kubectl("create", "-f", "-", stdin=CHECK.format(name="in-the-middle"))

    def entries() -> dict[str, dict[str, object]]:
        found = enabled.kubectl.get("vmruntimepfc", "in-the-middle", "-n", NAMESPACE)
        return dict(found.get("status", {}).get("checks", {}))

    with story.step(f"all nodes but {held_up} have answered"):
        until(
            lambda: (
                entries() and all(("passed" in told) is (name != held_up) for name, told in entries().items())
            ),
            "the others have answered",
            seconds=SECONDS,
        )
    before = entries()
    [old] = ready_controllers(enabled)
    with story.measure("controller's pod deleted → the next one leads"):
        enabled.kubectl("delete", "pod", old, "-n", NAMESPACE, "--wait=false")
        until(lambda: holder(enabled) not in ("", old), "another pod leads", seconds=SECONDS)
    (process,) = own.node(held_up).run(["pgrep", "-f", "vm-preflight probe"]).split()[:1]
    with story.measure("the node goes on → verdict"):
        own.node(held_up).run(["kill", "-CONT", process])
        until(lambda: "passed" in entries()[held_up], "the check ends", seconds=SECONDS)
        check = until(lambda: finished(enabled, "in-the-middle"), "the check ends", seconds=SECONDS)
    assert check["status"]["pass"] is True
    assert set(verdicts(check).values()) == {True}
    assert {name: entries()[name] for name in before if name != held_up} == {
        name: told for name, told in before.items() if name != held_up
    }, "an answer that was there was not asked for again"


def finished(cluster: EndToEnd, name: str) -> dict[str, object] | None:
    """The check once it has its verdict."""
    found = cluster.kubectl.get("vmruntimepfc", name, "-n", NAMESPACE)
    return found if "completionTime" in found.get("status", {}) else None


@pytest.fixture
def two(enabled: EndToEnd) -> Iterator[EndToEnd]:
    """The cluster with two controllers, of which one leads."""

    def one_leads() -> bool:
        ready = ready_controllers(enabled)
        return len(ready) == 2 and holder(enabled) in ready  # not one that an earlier test took away

    scale = ("scale", "deployment", CONTROLLER_NAME, "-n", NAMESPACE)
    enabled.kubectl(*scale, "--replicas=2")
    until(one_leads, "two controllers are ready, and one leads", seconds=SECONDS)
    yield enabled
    enabled.kubectl(*scale, "--replicas=1")
    until(lambda: len(ready_controllers(enabled)) == 1, "one controller is left", seconds=SECONDS)


def test_a_hot_standby(two: EndToEnd, story: Story) -> None:
    """Two controllers: the pod that leads is deleted, another leads, and gives the next verdict."""
    leader = holder(two)
    [standby] = [name for name in ready_controllers(two) if name != leader]
    on = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in two.pods("controller")}
    story.say(f"{leader} on {on[leader]} leads, {standby} on {on[standby]} stands by")
    with story.measure("leader's pod deleted → another leads"):
        two.kubectl("delete", "pod", leader, "-n", NAMESPACE, "--wait=false")
        until(lambda: holder(two) not in ("", leader), "another pod leads", seconds=SECONDS)
    # it released its Lease: whoever looks first has it, the standby or the pod that was made in its place
    story.say(f"{leader} → {holder(two)}")
    passes(two)


def test_a_leader_that_is_killed(two: EndToEnd, own: RealCluster, story: Story) -> None:
    """The process that leads is killed and releases nothing: another one leads once its Lease has run out."""
    before = identity(two)
    [pod] = [pod for pod in two.pods("controller") if pod["metadata"]["name"] == holder(two)]
    with story.measure("leader killed (SIGKILL) → another leads"):
        own.node(pod["spec"]["nodeName"]).run(["pkill", "-KILL", "-f", "vm-preflight controller"])
        until(lambda: identity(two) not in ("", before), "another one leads", seconds=SECONDS)
    story.say(f"{before} → {identity(two)}")
    passes(two)


def passes(cluster: EndToEnd) -> None:
    """A check passes, and two controllers are ready again."""
    done = cluster.vm_preflight("check", "vmruntimepfc")
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: len(ready_controllers(cluster)) == 2, "two controllers are ready", seconds=SECONDS)
