"""spec.md, section 5, *Disabling while VMs exist*: each row of the table, by the command and by the resource.

Kinds of virtual machine, how many there are and what holds them: `tests/cli` and `tests/controller`.
"""

import os
import pty
import subprocess
from collections.abc import Iterator

import pytest
import vmkinds
from controllerlab import ControllerLab
from program import command, vm_preflight

from cluster import shapes
from cluster.resources import (
    DISABLING_ANNOTATION,
    FORCE_DISABLE_ANNOTATION,
    NAMESPACE,
    NODE_PREFLIGHTS,
    PODS,
    VIRTUAL_MACHINES,
    VM_RUNTIMES,
)

MACHINE = VIRTUAL_MACHINES[0]
OFF, ON = False, True


@pytest.fixture
def enabled(lab: ControllerLab) -> Iterator[ControllerLab]:
    """Enabled, without virtual machines and without the annotation."""
    if not lab.runtime()["spec"]["enabled"]:
        lab.enable()
    lab.until(lambda: lab.status()["enabled"] and lab.status()["ready"], "ready")
    yield lab
    for name in machines(lab):
        lab.delete(MACHINE, name, namespace="default")
    annotate(lab, None)


def annotate(lab: ControllerLab, value: str | None) -> None:
    lab.client.patch(
        VM_RUNTIMES.path("vmruntime"), {"metadata": {"annotations": {FORCE_DISABLE_ANNOTATION: value}}}
    )


def add_machine(lab: ControllerLab) -> None:
    vmkinds.add_once_open(lab.client, MACHINE, "vm")


def machines(lab: ControllerLab) -> set[str]:
    return lab.names(MACHINE, namespace="default")


def is_on(lab: ControllerLab) -> bool:
    runtime = lab.runtime()
    assert DISABLING_ANNOTATION not in shapes.mapping(runtime, "metadata", "annotations")
    return bool(runtime["spec"]["enabled"] or runtime["status"]["enabled"])


def disable(lab: ControllerLab, *words: str) -> tuple[int, str]:
    """Exit status and standard error of the command."""
    ended = vm_preflight("disable", "vmruntime", *words, "--kubeconfig", str(lab.plane.kubeconfig))
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("force", [None, "--force=false", "--force=true"])
@pytest.mark.parametrize("annotation", [None, "false", "true"])
def test_row_1(enabled: ControllerLab, force: str | None, annotation: str | None) -> None:
    """| no | any | any | disabled |."""
    annotate(enabled, annotation)

    assert disable(enabled, *([force] if force else [])) == (0, "")

    assert not is_on(enabled)


@pytest.mark.parametrize("annotation", [None, "false", "true"])
def test_row_2(enabled: ControllerLab, annotation: str | None) -> None:
    """| yes | true | any | running VMs and their resources deleted, then disabled |."""
    annotate(enabled, annotation)
    add_machine(enabled)

    status, said = disable(enabled, "--force=true")

    assert (status, machines(enabled), is_on(enabled)) == (0, set(), OFF), said


@pytest.mark.timeout(240)  # of which the garbage collector may take half a minute
@pytest.mark.parametrize(
    ("answer", "left", "on"),
    [("y\n", set(), OFF), ("n\n", {"vm"}, ON), ("\n", {"vm"}, ON), ("\x04", {"vm"}, ON)],
)
def test_row_3(enabled: ControllerLab, answer: str, left: set[str], on: bool) -> None:
    """| yes | false | true | asks whether to delete the VMs; once none is left, disabled |."""
    annotate(enabled, "true")
    add_machine(enabled)
    ours, theirs = pty.openpty()
    words = command("disable", "vmruntime", "--kubeconfig", str(enabled.plane.kubeconfig))
    with subprocess.Popen(words, stdin=theirs, stderr=subprocess.PIPE, text=True) as asking:
        os.close(theirs)
        os.write(ours, answer.encode())
        _, said = asking.communicate(timeout=100)
    os.close(ours)

    assert said.startswith(
        "there is 1 virtual machine: default/vm\nDelete them all and disable the VM runtime? [y/N] "
    )
    assert (asking.returncode, machines(enabled), is_on(enabled)) == (1 if on else 0, left, on), said


@pytest.mark.parametrize("force", [None, "--force=false"])
@pytest.mark.parametrize("annotation", [None, "false", "nonsense"])
def test_row_4(enabled: ControllerLab, force: str | None, annotation: str | None) -> None:
    """| yes | false | false | nothing deleted, not disabled; the command returns an error |."""
    annotate(enabled, annotation)
    add_machine(enabled)

    status, said = disable(enabled, *([force] if force else []))

    assert (status, machines(enabled), is_on(enabled)) == (1, {"vm"}, ON)
    assert said == (
        "vm-preflight disable: not disabled, 1 virtual machine in the way (default/vm): "
        "pass --force=true to delete them, or delete them yourself with kubectl delete\n"
    )


# Line: set on the resource itself, without the command line, `--force` counts as false.


def switch_off(lab: ControllerLab) -> None:
    lab.plane.kubectl("patch", "vmruntime", "vmruntime", "--type=merge", "-p", '{"spec":{"enabled":false}}')


@pytest.mark.parametrize("annotation", [None, "false", "true"])
def test_row_1_on_the_resource(enabled: ControllerLab, annotation: str | None) -> None:
    """| no | any | any | disabled |; when it is off, only the controller's pods are in `vm-system`."""
    annotate(enabled, annotation)

    switch_off(enabled)

    enabled.until(lambda: not is_on(enabled), "off")
    enabled.until(lambda: not enabled.daemon_set() and not enabled.names(NODE_PREFLIGHTS), "nothing is left")
    enabled.until(lambda: pods(enabled) == ["ReplicaSet vmruntime-controller-manager"], "its pods alone")


def pods(lab: ControllerLab) -> list[str]:
    """Kind and name, without what was drawn at random, of what owns the pods in `vm-system`."""
    owners = (
        shapes.items(pod, "metadata", "ownerReferences")[0]
        for pod in shapes.items(lab.client.list(PODS.path(namespace=NAMESPACE)), "items")
    )
    return [f"{one['kind']} {str(one['name']).rpartition('-')[0]}" for one in owners]


def test_row_4_on_the_resource(enabled: ControllerLab) -> None:
    """With VMs and the annotation false: protected, the runtime stays on, and a condition says why."""
    add_machine(enabled)

    switch_off(enabled)

    enabled.until(lambda: enabled.condition("DisableBlocked").get("reason") == "VMsProtected", "protected")
    assert enabled.condition("DisableBlocked")["status"] == "True"
    assert (
        "kubectl delete virtualmachines.kubevirt.io -n default vm"
        in enabled.condition("DisableBlocked")["message"]
    )
    assert (enabled.status()["enabled"], machines(enabled)) == (ON, {"vm"})
    assert enabled.daemon_set()


def test_row_3_on_the_resource(enabled: ControllerLab) -> None:
    """With it true: it waits, says that the VMs must be deleted, and switches off when the last is gone."""
    annotate(enabled, "true")
    add_machine(enabled)

    switch_off(enabled)

    enabled.until(lambda: enabled.condition("DisableBlocked").get("reason") == "VMsMustBeDeleted", "waiting")
    assert "virtual machines exist and must be deleted" in enabled.condition("DisableBlocked")["message"]
    assert enabled.status()["enabled"] is ON
    enabled.delete(MACHINE, "vm", namespace="default")
    enabled.until(lambda: not is_on(enabled), "off")
