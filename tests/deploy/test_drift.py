"""A device that goes and comes back while nobody asks: controller, agent, probe and a guest, all real.

Stood in for: scheduler, kubelet and container runtime (`nodes.StandInKubelet`). The device is a node of the
test's own with the numbers of `/dev/kvm`. The times are printed.
"""

import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import controllerprocess
import offspring
import pytest
from controlplane import ControlPlane
from hostroot import KVM, host_root, make_device
from nodes import StandInKubelet
from realkvm import needs_kvm, needs_root
from waiting import until

from cluster import shapes
from cluster.resources import (
    CONTROLLER_NAME,
    EVENTS,
    MODE_LABEL,
    NAMESPACE,
    NODE_PREFLIGHTS,
    NODES,
    PASSED_CONDITION,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
    Resource,
)

pytestmark = [needs_kvm, needs_root]
NODE = "drifting"
Look = Callable[[], bool]


class Drifting:
    """The node, as others see it."""

    def __init__(self, plane: ControlPlane, kubelet: StandInKubelet) -> None:
        self.plane = plane
        self.kubelet = kubelet

    def get(self, resource: Resource, name: str) -> dict[str, object]:
        code, found = self.plane.request("GET", resource.path(name))
        return found if code == 200 else {}

    def condition(self) -> str:
        found = shapes.items(self.get(NODES, NODE), "status", "conditions")
        ours = [one for one in found if shapes.text(one, "type") == PASSED_CONDITION]
        return shapes.text(ours[0], "status") if ours else ""

    def label(self) -> str:
        return shapes.text(self.get(NODES, NODE), "metadata", "labels", MODE_LABEL)

    def verdict(self) -> object:
        return shapes.mapping(self.get(NODE_PREFLIGHTS, NODE), "status").get("passed")

    def metric(self, name: str) -> float | None:
        if not self.kubelet.agent_url:
            return None
        try:
            with urllib.request.urlopen(f"{self.kubelet.agent_url}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        except OSError:  # not listening yet
            return None
        found = re.search(rf"^vm_preflight_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else None

    def events(self) -> list[str]:
        _, found = self.plane.request("GET", EVENTS.path(namespace="default"))
        uid = shapes.text(self.get(NODES, NODE), "metadata", "uid")
        return sorted(
            shapes.text(one, "reason")
            for one in shapes.items(found, "items")
            if shapes.text(one, "involvedObject", "uid") == uid
            and shapes.text(one, "reportingComponent") == CONTROLLER_NAME
        )

    def versions(self) -> list[str]:
        objects = ((NODES, NODE), (NODE_PREFLIGHTS, NODE), (VM_RUNTIMES, VM_RUNTIME_NAME))
        return [shapes.text(self.get(*one), "metadata", "resourceVersion") for one in objects]

    def shows(self, *, passed: bool, events: list[str]) -> dict[str, Look]:
        """Everything that tells of the verdict."""
        return {
            "metric": lambda: self.metric("passed") == float(passed),
            "NodePreflight": lambda: self.verdict() is passed,
            "condition": lambda: self.condition() == str(passed),
            "label": lambda: self.label() == ("hardware" if passed else "none"),
            "Event": lambda: self.events() == events,
        }


def timed(what: str, looks: dict[str, Look]) -> None:
    """Waits until all of it is so, and prints how long each took; all of it is looked at in turns."""
    began = time.monotonic()
    left, took = dict(looks), {}

    def look() -> bool:
        for name in [name for name, so in left.items() if so()]:
            took[name] = time.monotonic() - began
            del left[name]
        return not left

    until(look, f"{what}: {sorted(left)}", seconds=60)
    print(f"{what}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))


@pytest.fixture
def drifting(
    virtual_machine_kinds: ControlPlane, no_runtime: ControlPlane, tmp_path: Path
) -> Iterator[tuple[Drifting, Path]]:
    """A node that has passed, with all opt-ins, and its device."""
    plane, log = virtual_machine_kinds, tmp_path / "controller.log"
    with host_root(tmp_path / "root") as root, StandInKubelet(plane, NODE, host_root=root) as kubelet:
        node = Drifting(plane, kubelet)
        controller = controllerprocess.start(plane, log=log)
        try:
            until(lambda: node.get(VM_RUNTIMES, VM_RUNTIME_NAME).get("status"), "the VMRuntime", seconds=60)
            wanted = {"enabled": True, "preflight": {"nodeCondition": True, "nodeLabel": True}}
            plane.request("PATCH", VM_RUNTIMES.path(VM_RUNTIME_NAME), {"spec": wanted})
            timed("enabled", node.shows(passed=True, events=[]))
            status = "preflightCheckSummary"
            until(
                lambda: shapes.flag(
                    node.get(VM_RUNTIMES, VM_RUNTIME_NAME), "status", status, "preflightCheckPassed"
                ),
                "the check's verdict",
                seconds=60,
            )
            yield node, root / "dev" / "kvm"
            plane.request("PATCH", VM_RUNTIMES.path(VM_RUNTIME_NAME), {"spec": {"enabled": False}})
            until(
                lambda: not (node.label() or node.condition() or node.get(NODE_PREFLIGHTS, NODE)),
                "nothing left on the Node once the runtime is disabled",
                seconds=60,
            )
            until(lambda: not node.kubelet.agent_url, "the agent ended", seconds=60)
        finally:
            assert offspring.end(controller) == 0, offspring.tail(log)
            plane.kubectl("delete", "vmruntimepfc", "-n", NAMESPACE, "--all")


def test_a_device_that_goes_and_comes_back_is_told_everywhere_and_the_gate_stays(
    drifting: tuple[Drifting, Path],
) -> None:
    node, device = drifting
    device.unlink()
    timed("gone", node.shows(passed=False, events=["NodeNotReadyForVMs"]))
    told = node.plane.kubectl("get", "npf", NODE).splitlines()[1].split()
    assert told[:3] == [NODE, "false", "None"]
    assert "KVM" in told[3]
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "vm"}}
    path = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines?dryRun=All"
    until(lambda: node.plane.request("POST", path, machine)[0] == 201, "the gate is still open", seconds=60)

    make_device(device, KVM)
    both = ["NodeNotReadyForVMs", "NodeReadyForVMs"]
    timed("back", node.shows(passed=True, events=both))

    node.plane.wait_for_node(NODE)
    before = node.versions()
    runs = node.metric('runs_total{trigger="Signal"}') or 0
    agent = node.kubelet.process("agent")
    assert agent is not None
    agent.send_signal(1)
    until(lambda: (node.metric('runs_total{trigger="Signal"}') or 0) > runs, "another run", seconds=60)
    (device.parent / "unrelated").touch()
    device.chmod(0o600)
    assert node.versions() == before, "nothing is written while nothing changes"
    assert node.events() == both
