"""``disable vmruntime`` and virtual machines: every kind, many of them, slow ones, and users with few rights.

Each row of the table in spec.md 5 stands in `tests/spec`; here it stands for every kind of virtual machine.
"""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import vmkinds
from controllerlab import ControllerLab
from controlplane import ControlPlane
from faultyproxy import FaultyProxy
from program import command, vm_preflight

from cli.cluster_access import NotDoneError
from cli.vm_removal import WAY_OUT, remove_all
from cluster import shapes
from cluster.resources import (
    DISABLING_ANNOTATION,
    FORCE_DISABLE_ANNOTATION,
    VIRTUAL_MACHINES,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
    Resource,
)
from cluster.transport import PAGE_SIZE

KUBEVIRT, INSTANCE, GDC = VIRTUAL_MACHINES
RUNTIME = VM_RUNTIMES.path(VM_RUNTIME_NAME)
KINDS = pytest.mark.parametrize("kind", VIRTUAL_MACHINES, ids=lambda kind: f"{kind.plural}.{kind.group}")
HELD = {"finalizers": ["example.com/held"]}
STUCK = "virtualmachines.kubevirt.io -n default stuck"
SECONDS = 100
"""The garbage collector takes half a minute to know a kind that was just installed, or is there again."""
OTHER = "elsewhere"
"""A namespace beside ``default``."""


@pytest.fixture(scope="module")
def lab(virtual_machine_kinds: ControlPlane) -> Iterator[ControllerLab]:
    """One node whose agent answers, and a running controller."""
    virtual_machine_kinds.kubectl("create", "namespace", OTHER)
    with ControllerLab(virtual_machine_kinds) as made:
        made.add_node("n1")
        made.start()
        made.installed()
        yield made
        made.stop()
    virtual_machine_kinds.kubectl("delete", "namespace", OTHER, "--wait=false")


@pytest.fixture(autouse=True)
def enabled(lab: ControllerLab) -> Iterator[None]:
    """Enabled and open, without virtual machines; afterwards none is left."""
    if not shapes.flag(lab.runtime(), "spec", "enabled"):
        lab.enable()
    lab.until(lambda: lab.status()["enabled"] and shapes.flag(lab.summary(), "lastCompleted", "passed"), "on")
    vmkinds.would_be_created(lab.plane)  # a test before may have restarted the API server: an answer is there
    yield
    vmkinds.release_all(lab.plane)
    # The latter is left by a command that was killed.
    gone = {FORCE_DISABLE_ANNOTATION: None, DISABLING_ANNOTATION: None}
    lab.client.patch(RUNTIME, {"metadata": {"annotations": gone}})


def annotate(lab: ControllerLab, value: str | None) -> None:
    lab.client.patch(RUNTIME, {"metadata": {"annotations": {FORCE_DISABLE_ANNOTATION: value}}})


def add(lab: ControllerLab, kind: Resource, name: str, namespace: str = "default", **metadata: object) -> str:
    """Creates a virtual machine once the gate lets it through; returns its uid."""
    return vmkinds.add_once_open(lab.client, kind, name, namespace, **metadata)


def left(lab: ControllerLab) -> set[str]:
    """Names of the virtual machines that nobody has deleted yet."""
    return {
        shapes.text(one, "metadata", "name")
        for kind in VIRTUAL_MACHINES
        for one in shapes.items(lab.client.list(kind.path()), "items")
        if not shapes.text(one, "metadata", "deletionTimestamp")
    }


def words(lab: ControllerLab, *more: str, kubeconfig: object = None) -> list[str]:
    return ["disable", "vmruntime", *more, "--kubeconfig", str(kubeconfig or lab.plane.kubeconfig)]


def disable(lab: ControllerLab, *more: str, kubeconfig: object = None) -> tuple[int, str]:
    """Exit status and standard error."""
    ended = vm_preflight(*words(lab, *more, kubeconfig=kubeconfig))
    return ended.returncode, ended.stderr


@contextmanager
def disabling(lab: ControllerLab, *more: str, kubeconfig: object = None) -> Iterator["subprocess.Popen[str]"]:
    """The command, while it runs."""
    line = command(*words(lab, *more, kubeconfig=kubeconfig))
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as running:
        yield running


def is_untouched(lab: ControllerLab) -> bool:
    """Whether the runtime is as it was before: on, and nobody switching it off."""
    runtime = lab.runtime()
    annotations = shapes.mapping(runtime, "metadata", "annotations")
    return (
        shapes.flag(runtime, "spec", "enabled")
        and shapes.flag(runtime, "status", "enabled")
        and DISABLING_ANNOTATION not in annotations
    )


def is_off(lab: ControllerLab) -> bool:
    runtime = lab.runtime()
    return not (shapes.flag(runtime, "spec", "enabled") or shapes.flag(runtime, "status", "enabled"))


# The table of spec.md 5: rows with virtual machines, by the command line.


@KINDS
def test_row_2_by_the_command(lab: ControllerLab, kind: Resource) -> None:
    """| yes | true | any | running VMs and their resources deleted, then disabled |."""
    add(lab, kind, "vm")

    assert disable(lab, "--force=true") == (0, "deleting 1 virtual machine …\n")

    assert (left(lab), is_off(lab)) == (set(), True)


@KINDS
def test_row_3_by_the_command(lab: ControllerLab, kind: Resource) -> None:
    """| yes | false | true | asks whether to delete the VMs; once none is left, disabled |."""
    annotate(lab, "true")
    add(lab, kind, "vm")
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(*words(lab)), stdin=theirs, stderr=subprocess.PIPE, text=True) as asking:
        os.close(theirs)
        os.write(ours, b"yes\n")
        _, said = asking.communicate(timeout=SECONDS)
    os.close(ours)

    assert said == (
        "there is 1 virtual machine: default/vm\n"
        "Delete them all and disable the VM runtime? [y/N] deleting 1 virtual machine …\n"
    )
    assert (asking.returncode, left(lab), is_off(lab)) == (0, set(), True)


@pytest.mark.parametrize(
    ("interrupt", "status", "said"),
    [
        (True, 130, "not disabled, nothing changed\n"),
        (False, 1, f"vm-preflight disable: not disabled, nothing changed: {WAY_OUT}\n"),
    ],
    ids=["ctrl-c", "ctrl-d"],
)
def test_who_leaves_at_the_question_changes_nothing(
    lab: ControllerLab, interrupt: bool, status: int, said: str
) -> None:
    annotate(lab, "true")
    add(lab, KUBEVIRT, "vm")
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(*words(lab)), stdin=theirs, stderr=subprocess.PIPE, text=True) as asking:
        os.close(theirs)
        assert asking.stderr is not None
        while asking.stderr.read(1) != "]":
            assert asking.poll() is None
        asking.send_signal(signal.SIGINT) if interrupt else os.write(ours, b"\x04")
        _, rest = asking.communicate(timeout=60)
    os.close(ours)

    assert (asking.returncode, rest) == (status, f"\n{said}")
    assert (left(lab), is_untouched(lab)) == ({"vm"}, True)


@KINDS
def test_row_4_by_the_command(lab: ControllerLab, kind: Resource) -> None:
    """| yes | false | false | nothing deleted, not disabled; the command returns an error |."""
    add(lab, kind, "vm")

    status, said = disable(lab)

    assert (status, left(lab), is_untouched(lab)) == (1, {"vm"}, True)
    assert "1 virtual machine in the way (default/vm): pass --force=true" in said


# The same by the resource alone: --force counts as false.


@KINDS
@pytest.mark.parametrize(
    ("row", "annotation", "reason"), [(3, "true", "VMsMustBeDeleted"), (4, None, "VMsProtected")]
)
def test_rows_3_and_4_by_the_resource(
    lab: ControllerLab, kind: Resource, row: int, annotation: str | None, reason: str
) -> None:
    """It stays on and says why, whether VMs must be deleted (3) or are protected (4), until none is left."""
    annotate(lab, annotation)
    add(lab, kind, "vm")

    lab.enable(enabled=False)

    lab.until(lambda: lab.condition("DisableBlocked").get("reason") == reason, f"row {row}")
    assert f"{kind.plural}.{kind.group} -n default vm" in lab.condition("DisableBlocked")["message"]
    assert (lab.status()["enabled"], left(lab)) == (True, {"vm"})
    lab.delete(kind, "vm", namespace="default")
    lab.until(lambda: is_off(lab), "off")


def test_many_of_all_kinds_are_deleted(lab: ControllerLab) -> None:
    count = PAGE_SIZE + 20
    for kind in VIRTUAL_MACHINES:
        add(lab, kind, "vm-0")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: vmkinds.add(lab.client, KUBEVIRT, f"vm-{number}"), range(1, count)))

    status, said = disable(lab, "--force")

    assert (status, left(lab), is_off(lab)) == (0, set(), True), said
    assert said.startswith(f"deleting {count + 2} virtual machines …\n")


def test_what_a_machine_owns_goes_with_it_and_nothing_else_does(lab: ControllerLab) -> None:
    uid = add(lab, KUBEVIRT, "vm")
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "vm", "uid": uid}
    owned = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    add(lab, INSTANCE, "vm", ownerReferences=owned)
    maps = "/api/v1/namespaces/default/configmaps"
    for name, owners in (("its-own", owned), ("vm", [])):
        lab.client.create(maps, {"metadata": {"name": name, "ownerReferences": owners}})

    status, said = disable(lab)
    assert (status, is_untouched(lab)) == (1, True)
    assert "1 virtual machine in the way (default/vm)" in said
    assert disable(lab, "--force") == (0, "deleting 1 virtual machine …\n")

    assert left(lab) == set()
    assert lab.plane.request("GET", f"{maps}/its-own")[0] == 404
    assert lab.plane.request("DELETE", f"{maps}/vm")[0] == 200


def test_what_makes_machines_anew_is_told(lab: ControllerLab) -> None:
    owner = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceReplicaSet",
        "name": "web",
        "uid": "1",
    }
    add(lab, INSTANCE, "web-x", **HELD, ownerReferences=[{**owner, "controller": True}])
    with disabling(lab, "--force") as running:
        assert running.stderr is not None
        assert running.stderr.readline() == (
            "VirtualMachineInstanceReplicaSet default/web makes its virtual machines anew "
            "once the VM runtime is off; to prevent that, delete it\n"
        )
        assert running.stderr.readline() == "deleting 1 virtual machine …\n"
        vmkinds.release(lab.plane, INSTANCE, "default", "web-x")
        assert running.wait(SECONDS) == 0


def test_slow_machines_are_waited_for_and_new_ones_are_refused_or_found(lab: ControllerLab) -> None:
    add(lab, KUBEVIRT, "slow", **HELD)
    gate = "kubevm.io/preflight-gate=off"
    with disabling(lab, "--force") as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "deleting 1 virtual machine …\n"
        body, path = vmkinds.machine(KUBEVIRT, "late"), KUBEVIRT.path(namespace="default")

        def refused() -> bool:
            status, answer = lab.plane.request("POST", f"{path}?dryRun=All", body)
            return status == 403 and "being switched off" in str(answer["message"])

        lab.until(refused, "the gate has heard of it")
        lab.plane.kubectl("label", "namespace", OTHER, gate)  # where nothing is refused
        try:
            add(lab, GDC, "slipped-through", OTHER)
            lab.until(lambda: not lab.names(GDC, namespace=OTHER), "it is found")
        finally:
            lab.plane.kubectl("label", "namespace", OTHER, gate.replace("=off", "-"))
        assert running.poll() is None
        vmkinds.release(lab.plane, KUBEVIRT, "default", "slow")
        assert running.wait(SECONDS) == 0
    assert is_off(lab)


@pytest.mark.timeout(240)
def test_an_api_server_that_goes_away_meanwhile_is_waited_for(lab: ControllerLab) -> None:
    add(lab, KUBEVIRT, "slow", **HELD)
    with disabling(lab, "--force") as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "deleting 1 virtual machine …\n"
        lab.plane.stop_apiserver()
        assert running.stderr.readline().endswith("; trying again\n")
        lab.plane.start_apiserver()
        vmkinds.release(lab.plane, KUBEVIRT, "default", "slow")
        assert running.wait(SECONDS) == 0
    assert is_off(lab)


def test_a_machine_that_does_not_go_is_named_and_the_runtime_stays(lab: ControllerLab) -> None:
    add(lab, KUBEVIRT, "stuck", **HELD)

    status, said = disable(lab, "--force", "--timeout", "1")

    assert said.splitlines() == [
        "deleting 1 virtual machine …",
        "given up: the VM runtime stays enabled",
        (
            "vm-preflight disable: not disabled, 1 virtual machine left after 1 s: see what holds the first "
            f"one with: kubectl get {STUCK} -o jsonpath='{{.metadata.finalizers}}'"
        ),
    ]
    assert (status, is_untouched(lab)) == (1, True)
    shown = lab.plane.kubectl("get", *STUCK.split(), "-o", "jsonpath={.metadata.finalizers}")
    assert "example.com/held" in json.loads(shown)


def test_machines_that_nobody_was_asked_about_are_not_deleted(lab: ControllerLab) -> None:
    add(lab, KUBEVIRT, "new")
    with pytest.raises(NotDoneError, match=r"1 virtual machine created meanwhile \(default/new\)"):
        remove_all(lab.client, confirmed=False, timeout=10)
    assert left(lab) == {"new"}


# Users with few rights: clear words, and nothing half done.

PATCHES = {"apiGroups": ["vm.cluster.gke.io"], "resources": ["vmruntimes"], "verbs": ["get", "patch"]}
LISTS = {
    "apiGroups": ["kubevirt.io", "vm.cluster.gke.io"],
    "resources": ["virtualmachines", "virtualmachineinstances"],
    "verbs": ["list"],
}
READS = {**PATCHES, "verbs": ["get"]}


@pytest.mark.parametrize(
    ("user", "rules", "told"),
    [
        (
            "no-patch",
            [READS, {**LISTS, "verbs": ["list", "delete"]}],
            (
                'you cannot patch resource "vmruntimes" in API group "vm.cluster.gke.io" '
                "at the cluster scope; see: kubectl auth can-i patch vmruntimes.vm.cluster.gke.io/vmruntime"
            ),
        ),
        (
            "no-delete",
            [PATCHES, LISTS],
            (
                'you cannot delete resource "virtualmachines" in API group "kubevirt.io" in the namespace '
                '"default"; see: kubectl auth can-i delete virtualmachines.kubevirt.io -n default'
            ),
        ),
        (
            "no-list",
            [PATCHES, {**LISTS, "apiGroups": ["kubevirt.io"], "verbs": ["list", "delete"]}],
            (
                "virtualmachines.vm.cluster.gke.io is forbidden: User "
                '"system:serviceaccount:default:no-list" cannot list resource "virtualmachines" '
                'in API group "vm.cluster.gke.io" at the cluster scope'
            ),
        ),
    ],
)
def test_who_has_too_few_rights_changes_nothing(
    lab: ControllerLab, user: str, rules: Sequence[Mapping[str, object]], told: str
) -> None:
    add(lab, KUBEVIRT, "vm")
    kubeconfig = lab.plane.kubeconfig_for_token(vmkinds.reader(lab.plane, user, rules), name=user)

    status, said = disable(lab, "--force", kubeconfig=kubeconfig)

    assert said == f"vm-preflight disable: not disabled, nothing changed: {told}\n"
    assert (status, left(lab), is_untouched(lab)) == (1, {"vm"}, True)


def test_who_may_delete_in_one_namespace_alone_deletes_nothing_there(lab: ControllerLab) -> None:
    user = "deletes-in-default"
    token = vmkinds.reader(lab.plane, user, [PATCHES, LISTS])
    subject = f"--serviceaccount=default:{user}"
    lab.plane.kubectl(*f"create role {user} --verb=delete --resource=virtualmachines.kubevirt.io".split())
    lab.plane.kubectl("create", "rolebinding", user, f"--role={user}", subject)
    kubeconfig = lab.plane.kubeconfig_for_token(token, name=user)
    add(lab, KUBEVIRT, "one")
    add(lab, KUBEVIRT, "two", OTHER)

    status, said = disable(lab, "--force", kubeconfig=kubeconfig)
    assert f'in the namespace "{OTHER}"' in said
    assert (status, left(lab), is_untouched(lab)) == (1, {"one", "two"}, True)

    vmkinds.release(lab.plane, KUBEVIRT, OTHER, "two")
    assert disable(lab, "--force", kubeconfig=kubeconfig)[0] == 0


def test_a_deletion_that_a_policy_refuses_is_told(lab: ControllerLab) -> None:
    name = "keeps-machines"
    kinds = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    rule = {
        "apiGroups": ["kubevirt.io"],
        "apiVersions": ["*"],
        "operations": ["DELETE"],
        "resources": ["virtualmachines"],
    }
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "this one is kept"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    add(lab, KUBEVIRT, "kept")
    try:
        lab.client.create(f"{kinds}ies", {"metadata": {"name": name}, "spec": policy})
        lab.client.create(f"{kinds}ybindings", {"metadata": {"name": name}, "spec": binding})
        path = f"{KUBEVIRT.path('kept', namespace='default')}?dryRun=All"
        lab.until(lambda: lab.plane.request("DELETE", path)[0] == 422, "the policy is in force")
        status, said = disable(lab, "--force")
    finally:
        lab.client.delete(f"{kinds}ybindings/{name}")
        lab.client.delete(f"{kinds}ies/{name}")
        lab.until(lambda: lab.plane.request("DELETE", path)[0] == 200, "the policy is gone")
    assert "given up: the VM runtime stays enabled\n" in said
    assert "not disabled, 1 virtual machine left: " in said
    assert "this one is kept" in said
    assert (status, is_untouched(lab)) == (1, True)


# The resource alone, when the API server or a kind's API is in trouble: what is not known is never none.


def test_machines_protect_the_runtime_across_a_restart_of_the_api_server(lab: ControllerLab) -> None:
    add(lab, KUBEVIRT, "vm")
    lab.enable(enabled=False)
    lab.until(lambda: lab.condition("DisableBlocked").get("reason") == "VMsProtected", "protected")

    lab.plane.stop_apiserver()
    lab.plane.start_apiserver()

    annotate(lab, "true")  # what comes of it is a look after the restart
    lab.until(lambda: lab.condition("DisableBlocked")["reason"] == "VMsMustBeDeleted", "looked at again")
    assert lab.status()["enabled"] is True
    lab.delete(KUBEVIRT, "vm", namespace="default")
    lab.until(lambda: is_off(lab), "off")


def test_a_kind_whose_api_is_broken_keeps_the_runtime_on(lab: ControllerLab) -> None:
    definition = vmkinds.CRDS.path(f"{INSTANCE.plural}.{INSTANCE.group}")
    older = replace(INSTANCE, version="v1alpha3")
    changed = vmkinds.definition(INSTANCE, [INSTANCE.version, older.version])["spec"]
    lab.client.patch(definition, {"spec": changed})
    lab.until(lambda: vmkinds.answers(lab.client, older.path()), "the other version is served")
    add(lab, older, "vm")
    lab.client.patch(definition, {"spec": {"conversion": vmkinds.BROKEN}})
    lab.until(
        lambda: "conversion webhook" in str(lab.plane.request("GET", INSTANCE.path())[1].get("message")),
        "its API is broken",
    )

    lab.enable(enabled=False)

    lab.until(lambda: lab.condition("DisableBlocked").get("reason") == "VMsUnknown", "unknown")
    said = lab.condition("DisableBlocked")["message"]
    assert "cannot be told whether virtual machines exist: virtualmachineinstances.kubevirt.io: " in said
    assert said.endswith("; see: kubectl get virtualmachineinstances.kubevirt.io -A")
    assert lab.status()["enabled"] is True
    lab.client.patch(definition, {"spec": {"conversion": {"strategy": "None", "webhook": None}}})
    lab.until(lambda: lab.condition("DisableBlocked")["reason"] == "VMsProtected", "it is found")
    lab.delete(older, "vm", namespace="default")
    lab.until(lambda: is_off(lab), "off")


# Without a controller that would switch it off.


@pytest.fixture
def without_controller(lab: ControllerLab) -> Iterator[ControllerLab]:
    """The controller is away, and comes back afterwards."""
    lab.stop()
    yield lab
    lab.start()


def test_a_controller_that_is_away_is_told(without_controller: ControllerLab) -> None:
    status, said = disable(without_controller, "--timeout", "1")

    assert status == 1
    assert said == (
        "vm-preflight disable: not switched off after 1 s: "
        "is its controller running? kubectl get pods -n vm-system\n"
    )


def test_an_interrupt_after_the_switch_is_set_takes_nothing_back(
    without_controller: ControllerLab, tmp_path: Path
) -> None:
    lab, kubeconfig = without_controller, tmp_path / "kubeconfig"
    with FaultyProxy(lab.plane) as proxy:
        kubeconfig.write_text(lab.plane.kubeconfig.read_text().replace(lab.plane.server, proxy.url))
        with disabling(lab, kubeconfig=kubeconfig) as running:
            # it looks at the runtime to begin with, and again once it has heard that the switch is set
            lab.until(
                lambda: [call.path for call in proxy.calls if not call.writes].count(RUNTIME) > 1,
                "it waits for the controller",
            )
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (
        130,
        "the VM runtime is being switched off: kubectl describe vmruntime vmruntime\n",
    )
    assert DISABLING_ANNOTATION not in shapes.mapping(lab.runtime(), "metadata", "annotations")


@pytest.mark.parametrize("force", [True, False])
def test_a_machine_of_the_last_moment_is_found(without_controller: ControllerLab, force: bool) -> None:
    """Made in the moment in which the gate began to refuse; here: where it refuses nothing."""
    lab = without_controller
    with disabling(lab, *(["--force"] if force else [])) as running:
        lab.until(lambda: not shapes.flag(lab.runtime(), "spec", "enabled"), "the switch is set")
        lab.plane.kubectl("label", "namespace", OTHER, "kubevm.io/preflight-gate=off")
        try:
            add(lab, KUBEVIRT, "late", OTHER)
        finally:
            lab.plane.kubectl("label", "namespace", OTHER, "kubevm.io/preflight-gate-")
        lab.start()
        _, said = running.communicate(timeout=90)
    lab.stop()
    assert (running.returncode, is_off(lab), left(lab)) == (
        (0, True, set()) if force else (1, False, {"late"})
    )
    assert force or said.startswith(
        "vm-preflight disable: not disabled, because virtual machines exist and are"
    )
