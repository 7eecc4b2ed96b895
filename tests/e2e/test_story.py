"""What the README tells an administrator, from an empty cluster to a removed installation."""

from collections.abc import Iterator

import pytest
from endtoend import MACHINE, EndToEnd, reasons, verdicts
from kubectl import KubectlError
from realcluster import RealCluster
from story import Story
from waiting import until

from cluster.resources import SKIP_LABEL

SECONDS = 300.0


def until_gate(cluster: EndToEnd, *, opens: bool) -> None:
    """Waits until virtual machines are let through, or not: a verdict decides a moment after it is there."""
    tried = ("create", "--dry-run=server", "-f", "-")
    machine = MACHINE.format(name="tried")
    until(
        lambda: (cluster.kubectl.run(*tried, stdin=machine).returncode == 0) is opens,
        f"the gate {'opens' if opens else 'closes'}",
        seconds=SECONDS,
    )


def create_machine(cluster: EndToEnd, name: str) -> str:
    """Makes a virtual machine as a user does; returns what kubectl said."""
    until_gate(cluster, opens=True)
    return cluster.kubectl("create", "-f", "-", stdin=MACHINE.format(name=name))


def refusal(cluster: EndToEnd, name: str) -> str:
    """What a user is told who makes a virtual machine that is refused."""
    until_gate(cluster, opens=False)
    with pytest.raises(KubectlError) as refused:
        cluster.kubectl("create", "-f", "-", stdin=MACHINE.format(name=name))
    return str(refused.value).partition(": ")[2]


def test_installed(switched_off: EndToEnd, story: Story) -> None:
    """Installed: the VM runtime is off, and nothing runs on the nodes."""
    assert switched_off.runtime()["spec"]["enabled"] is False
    assert switched_off.agents_are_gone()
    pods = switched_off.kubectl.get("pods", "-n", "vm-system")["items"]
    assert [pod["metadata"]["name"] for pod in pods] == [
        pod["metadata"]["name"] for pod in switched_off.pods("controller")
    ]
    story.say(switched_off.kubectl("get", "vmruntime,pods", "-n", "vm-system"))


def test_enabled(switched_off: EndToEnd, story: Story) -> None:
    """Enabled: the agents roll out by themselves, and every node passes on its /dev/kvm."""
    known = switched_off.names_of_checks()
    with story.measure("vm-preflight enable vmruntime → verdict, image present"):
        done = switched_off.vm_preflight("enable", "vmruntime")
        assert done.returncode == 0, done.stderr
        check = until(switched_off.finished_since(known), "the check ends", seconds=SECONDS)
    with story.step("the agents' pods are ready too"):
        until(lambda: ready_agents(switched_off), "the agents are ready", seconds=SECONDS)
    story.say(switched_off.kubectl("get", "vmruntimepfc", "-n", "vm-system"))
    story.say(switched_off.kubectl("get", "nodepreflights"))

    assert check["status"]["pass"] is True, check["status"].get("failures")
    assert sorted(verdicts(check)) == switched_off.nodes_that_take_part()
    assert set(verdicts(check).values()) == {True}
    for node in verdicts(check):
        status = switched_off.node_preflight(node)["status"]
        assert (status["mode"], reasons(status)["KVM"]) == ("Hardware", "GuestRan")
    assert check["metadata"]["annotations"]["kubevm.io/trigger"] == "Enabled"


def ready_agents(cluster: EndToEnd) -> bool:
    """Whether the DaemonSet is there with a ready pod wherever it wants one."""
    found = cluster.kubectl.get("daemonset", "vm-preflight-agent", "-n", "vm-system", "--ignore-not-found")
    status = found.get("status", {})
    wanted = status.get("desiredNumberScheduled", 0)
    return bool(wanted) and status.get("numberReady") == wanted


@pytest.mark.usefixtures("machine_kinds")
def test_virtual_machines_may_be_created(enabled: EndToEnd, story: Story) -> None:
    """The check has passed: a user may create a virtual machine."""
    story.say(create_machine(enabled, "allowed"))
    enabled.kubectl("delete", "virtualmachine.kubevirt.io", "allowed", "-n", "vm-preflight-e2e")


def test_skip_label(enabled: EndToEnd, story: Story) -> None:
    """A node is left out by a label, and checked again at once when the label goes."""
    *others, node = enabled.nodes_that_take_part()
    enabled.kubectl("label", "nodes", node, f"{SKIP_LABEL}=")
    story.say(f"kubectl label nodes {node} '{SKIP_LABEL}='")
    until(lambda: enabled.node_preflight(node)["spec"].get("skip"), "the node is skipped", seconds=SECONDS)

    known = enabled.names_of_checks()
    status = enabled.vm_preflight("check", "vmruntimepfc").returncode
    assert status == (0 if others else 1)  # of no node at all nothing is promised
    [check] = [check for check in enabled.checks() if check["metadata"]["name"] not in known]
    assert sorted(verdicts(check)) == others
    story.say(f"a check of the others: {', '.join(others) or 'there are none'}")

    known = enabled.names_of_checks()
    before = enabled.node_preflight(node)["status"].get("runID")
    with story.measure("label removed → the node's new verdict"):
        enabled.kubectl("label", "nodes", node, f"{SKIP_LABEL}-")
        until(lambda: has_answered(enabled, node, before), "the node has a new verdict", seconds=SECONDS)
    check = until(enabled.finished_since(known), "the check ends", seconds=SECONDS)
    assert check["metadata"]["annotations"]["kubevm.io/trigger"] == "SkipLabelRemoved"
    assert verdicts(check)[node] is True


def has_answered(cluster: EndToEnd, node: str, before: str | None) -> bool:
    """Whether a node has answered a run that it had not before."""
    found = cluster.node_preflight(node)
    asked = found["spec"].get("run", {}).get("id")
    return asked != before and found["status"].get("runID") == asked


def test_rerun(enabled: EndToEnd, story: Story) -> None:
    """An administrator asks for a check, and is told the verdict."""
    with story.measure("vm-preflight check vmruntimepfc"):
        done = enabled.vm_preflight("check", "vmruntimepfc")
    story.say(done.stdout)
    assert done.returncode == 0, done.stderr
    assert enabled.checks()[-1]["metadata"]["name"] in done.stdout


@pytest.fixture
def without_kvm(enabled: EndToEnd, own: RealCluster, story: Story) -> Iterator[EndToEnd]:
    """The last of three nodes has no /dev/kvm."""
    node = own.node("n3")
    node.hide_kvm()
    story.say("n3 has lost its /dev/kvm")
    yield enabled
    node.show_kvm()


@pytest.mark.usefixtures("machine_kinds")
def test_a_node_without_kvm(without_kvm: EndToEnd, story: Story) -> None:
    """One node of three has no /dev/kvm: the check fails, and virtual machines are refused, with why."""
    done = without_kvm.vm_preflight("check", "vmruntimepfc")
    story.say(done.stdout)
    assert done.returncode == 1
    check = without_kvm.checks()[-1]
    assert verdicts(check) == {"n1": True, "n2": True, "n3": False}
    assert reasons(check["status"]["failures"]["n3"])["KVM"] == "DeviceMissing"

    said = refusal(without_kvm, "refused")
    story.say(said)
    assert check["metadata"]["name"] in said
    assert "KVM" in said


@pytest.mark.usefixtures("machine_kinds")
def test_emulation(without_kvm: EndToEnd, story: Story) -> None:
    """With useEmulation the node without /dev/kvm passes, by software emulation."""
    known = without_kvm.names_of_checks()
    patch = '{"spec":{"useEmulation":%s}}'
    try:
        with story.measure("useEmulation → verdict"):
            without_kvm.kubectl("patch", "vmruntime", "vmruntime", "--type=merge", "-p", patch % "true")
            check = until(without_kvm.finished_since(known), "the check ends", seconds=SECONDS)
        story.say(without_kvm.kubectl("get", "nodepreflights"))
        assert check["metadata"]["annotations"]["kubevm.io/trigger"] == "FeatureChanged"
        assert check["status"]["pass"] is True, check["status"].get("failures")
        modes = {node: without_kvm.node_preflight(node)["status"]["mode"] for node in verdicts(check)}
        assert modes == {"n1": "Hardware", "n2": "Hardware", "n3": "Emulation"}
        story.say(create_machine(without_kvm, "emulated"))
        without_kvm.kubectl("delete", "virtualmachine.kubevirt.io", "emulated", "-n", "vm-preflight-e2e")
    finally:
        known = without_kvm.names_of_checks()
        without_kvm.kubectl("patch", "vmruntime", "vmruntime", "--type=merge", "-p", patch % "false")
        until(without_kvm.finished_since(known), "the check after it ends", seconds=SECONDS)


@pytest.mark.usefixtures("machine_kinds")
def test_disabled(enabled: EndToEnd, story: Story) -> None:
    """Disabled: only the controller is left, and the gate is open again."""
    with story.measure("disable → no agent is left"):
        done = enabled.vm_preflight("disable", "vmruntime")
        assert done.returncode == 0, done.stderr
        until(enabled.agents_are_gone, "the agents are gone", seconds=SECONDS)
    pods = enabled.kubectl.get("pods", "-n", "vm-system")["items"]
    assert [pod["metadata"]["name"] for pod in pods] == [
        pod["metadata"]["name"] for pod in enabled.pods("controller")
    ]
    story.say(enabled.kubectl("get", "pods", "-n", "vm-system"))
    story.say(create_machine(enabled, "ungated"))
    enabled.kubectl("delete", "virtualmachine.kubevirt.io", "ungated", "-n", "vm-preflight-e2e")
