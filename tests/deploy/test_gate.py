"""The gate on a real API server: when virtual machines can be created, and what a refusal says.

A policy sees a changed VMRuntime some milliseconds later. So each state is reached from one with the opposite
answer: what is then read can come from the new state only.
"""

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import vmkinds
from controlplane import DEPLOY, ControlPlane, ControlPlaneError
from waiting import until

import cluster.resources as names
from cluster import kubeconfig
from cluster.transport import Client
from controller import objects
from controller.switch import gate_is_open

RUNTIME = names.VM_RUNTIMES.path(names.VM_RUNTIME_NAME)
KINDS = {
    "kubevirt.io/v1 VirtualMachine": "virtualmachines",
    "kubevirt.io/v1 VirtualMachineInstance": "virtualmachineinstances",
    "vm.cluster.gke.io/v1 VirtualMachine": "virtualmachines",
}
VIRTUAL_MACHINE, INSTANCE, GDC_VIRTUAL_MACHINE = KINDS
NEXT = "see why with: kubectl get vmruntimepfc -n vm-system"
AFTER_A_RESTART = 60.0
"""Seconds: a restarted API server may know a policy's parameters after 30 s only (docs/adr/0015)."""
PASSED = {"name": "good", "passed": True, "completionTime": "2026-01-01T00:00:00Z", "failedFeatures": []}
FAILED = {**PASSED, "name": "bad", "passed": False, "failedFeatures": ["CPU", "KVM"]}


@dataclass(frozen=True, slots=True)
class Gate:
    """The cluster from the point of view of somebody who creates virtual machines."""

    plane: ControlPlane

    def runtime(
        self,
        *,
        wanted: bool,
        in_force: bool | None = None,
        last: Mapping[str, object] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Writes what people and the controller wrote; every state between answers as the one before."""
        if self.plane.request("GET", RUNTIME)[0] == 404:
            made = {"apiVersion": "vm.cluster.gke.io/v1", "kind": "VMRuntime", "spec": {"enabled": wanted}}
            body = {**made, "metadata": {"name": names.VM_RUNTIME_NAME}}
            assert self.plane.request("POST", names.VM_RUNTIMES.path(), body)[0] == 201
        disabling = (annotations or {}).get(names.DISABLING_ANNOTATION)
        self._patch("", {"metadata": {"annotations": {names.DISABLING_ANNOTATION: disabling}}})
        summary = {"lastCompleted": None}  # a merge patch would keep what an older one had
        self._patch("/status", {"status": {"enabled": in_force, "preflightCheckSummary": summary}})
        self._patch("/status", {"status": {"preflightCheckSummary": {"lastCompleted": last}}})
        self._patch("", {"spec": {"enabled": wanted}})

    def _patch(self, subresource: str, change: Mapping[str, object]) -> None:
        path = f"{RUNTIME}{subresource}"
        code, answer = self.plane.request("PATCH", path, change)
        assert code == 200, answer

    def refusal(
        self,
        kind: str = VIRTUAL_MACHINE,
        *,
        owner: Mapping[str, object] | None = None,
        namespace: str = "default",
        name_field: str = "name",
    ) -> str:
        """Why a virtual machine would be refused; empty when it would be created."""
        version, _, name = kind.partition(" ")
        metadata = {name_field: "vm", "ownerReferences": [owner] if owner else []}
        path = f"/apis/{version}/namespaces/{namespace}/{KINDS[kind]}?dryRun=All"
        code, answer = self.plane.request(
            "POST", path, {"apiVersion": version, "kind": name, "metadata": metadata}
        )
        said = "" if code == 201 else str(answer["message"])
        assert code in (201, 403) or "paramKind" in said, said
        return said

    def refuses(self, text: str, kind: str = VIRTUAL_MACHINE, **more: object) -> str:
        """Waits until creating is refused with this text, and returns the whole message."""
        ask: Callable[..., str] = self.refusal

        def look() -> str | None:
            said = ask(kind, **more)
            return said if text in said else None

        return until(look, f"a refusal with {text!r}", seconds=AFTER_A_RESTART)

    def admits(self, kind: str = VIRTUAL_MACHINE, **more: object) -> bool:
        """Waits until creating is let through."""
        ask: Callable[..., str] = self.refusal
        return until(lambda: ask(kind, **more) == "", "a virtual machine let through")


@pytest.fixture
def gate(virtual_machine_kinds: ControlPlane, no_runtime: ControlPlane) -> Iterator[Gate]:
    """The gate, closed for every kind: it is in force, and nothing has passed yet."""
    gate = Gate(virtual_machine_kinds)
    gate.runtime(wanted=True)
    for kind in KINDS:
        gate.refuses("no preflight check has finished", kind)
    return gate


def open_again(gate: Gate) -> None:
    """Opens the gate for every kind, so that a refusal that follows comes from what is done next."""
    gate.runtime(wanted=True, in_force=True, last=PASSED)
    assert all(gate.admits(kind) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_runtime_nothing_is_refused(gate: Gate, kind: str) -> None:
    gate.plane.request("DELETE", RUNTIME)

    assert gate.admits(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_while_disabled_nothing_is_refused_whatever_the_last_check_said(gate: Gate, kind: str) -> None:
    gate.runtime(wanted=False, in_force=False, last=FAILED)

    assert gate.admits(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_enabled_and_passed_lets_through(gate: Gate, kind: str) -> None:
    gate.runtime(wanted=True, in_force=True, last=PASSED)

    assert gate.admits(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_enabled_and_failed_refuses_naming_check_features_and_the_next_command(gate: Gate, kind: str) -> None:
    open_again(gate)
    gate.runtime(wanted=True, in_force=True, last=FAILED)

    said = gate.refuses("preflight check", kind)
    assert said.endswith(f": preflight check bad failed (CPU, KVM); {NEXT} bad -o yaml")


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_the_api_server_makes_is_no_way_around(gate: Gate, kind: str) -> None:
    assert "no preflight check has finished" in gate.refusal(kind, name_field="generateName")


def test_none_finished_refuses_and_says_how_to_wait(gate: Gate) -> None:
    said = gate.refusal()

    assert "no preflight check has finished since the VM runtime was enabled" in said
    assert said.endswith("kubectl get vmruntimepfc -n vm-system --watch")


def test_enabled_but_not_yet_acted_on_refuses(gate: Gate) -> None:
    open_again(gate)
    gate.runtime(wanted=True, in_force=False)

    assert gate.refuses("no preflight check has finished")


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ({}, "failed (no node took part);"),
        ({"message": "2 nodes passed, 3 must"}, "failed (2 nodes passed, 3 must);"),
        ({"message": "", "failedFeatures": ["Tun"]}, "failed (Tun);"),
    ],
)
def test_the_cause_is_never_empty(gate: Gate, cause: Mapping[str, object], told: str) -> None:
    open_again(gate)
    gate.runtime(wanted=True, in_force=True, last={"name": "bad", "passed": False, **cause})

    assert told in gate.refuses("preflight check")


def test_many_features_are_named_in_part(gate: Gate) -> None:
    open_again(gate)
    features = [f"{'F' * 58}{number:05}" for number in range(256)]  # as many and as long as the schema allows
    gate.runtime(wanted=True, in_force=True, last={**FAILED, "failedFeatures": features})

    said = gate.refuses("preflight check bad failed")
    assert f"failed ({', '.join(features[:8])} and 248 more); {NEXT} bad -o yaml" in said


def test_a_message_of_several_lines_still_refuses(gate: Gate) -> None:
    open_again(gate)
    gate.runtime(wanted=True, in_force=True, last={**FAILED, "message": "one\ntwo"})

    assert gate.refuses("the latest preflight check failed")


@pytest.mark.parametrize(
    "nonsense",
    [
        {"enabled": "yes"},
        {"preflightCheckSummary": "good"},
        {"preflightCheckSummary": {"lastCompleted": {"passed": True}}},
        {"preflightCheckSummary": {"lastCompleted": {"name": "x", "passed": "true"}}},
        {"preflightCheckSummary": {"lastCompleted": {**PASSED, "failedFeatures": [1]}}},
        {"preflightCheckSummary": {"lastCompleted": [PASSED]}},
    ],
)
def test_a_status_of_wrong_types_is_refused_by_the_schema(gate: Gate, nonsense: dict[str, object]) -> None:
    assert gate.plane.request("PATCH", f"{RUNTIME}/status", {"status": nonsense})[0] == 422


@pytest.mark.parametrize(
    "nonsense",
    [
        {"enabled": True, "preflightCheckSummary": None},
        {"preflightCheckSummary": {"lastCompleted": None}},
        {"preflightCheckSummary": {"preflightCheckName": "good", "preflightCheckPassed": True}},
        {"enabled": False, "ready": True, "conditions": []},
    ],
)
def test_a_status_without_a_verdict_lets_nothing_through(gate: Gate, nonsense: dict[str, object]) -> None:
    open_again(gate)
    gate.runtime(wanted=True, in_force=True)
    assert gate.plane.request("PATCH", f"{RUNTIME}/status", {"status": nonsense})[0] == 200

    assert gate.refuses("no preflight check has finished")


@pytest.mark.parametrize("kind", KINDS)
def test_switching_off_through_the_resource_refuses(gate: Gate, kind: str) -> None:
    open_again(gate)
    gate.runtime(wanted=False, in_force=True, last=PASSED)

    said = gate.refuses("the VM runtime is being switched off", kind)
    assert said.endswith("kubectl describe vmruntime vmruntime")


def test_switching_off_by_the_command_refuses(gate: Gate) -> None:
    open_again(gate)
    gate.runtime(wanted=True, in_force=True, last=PASSED, annotations={names.DISABLING_ANNOTATION: "true"})

    assert gate.refuses("the VM runtime is being switched off")


@pytest.mark.parametrize(("annotation", "wanted"), [("false", True), ("true", False)])
def test_the_annotation_alone_closes_nothing(gate: Gate, annotation: str, wanted: bool) -> None:
    last = PASSED if wanted else FAILED
    gate.runtime(
        wanted=wanted, in_force=wanted, last=last, annotations={names.DISABLING_ANNOTATION: annotation}
    )

    assert gate.admits()


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("in_force", [True, False])
@pytest.mark.parametrize("disabling", [True, False])
@pytest.mark.parametrize("last", [None, PASSED, FAILED], ids=["no-verdict", "passed", "failed"])
def test_the_metric_says_what_the_gate_does(
    gate: Gate, wanted: bool, in_force: bool, disabling: bool, last: dict[str, object] | None
) -> None:
    known = objects.Runtime(
        objects.Meta("vmruntime"),
        enabled=wanted,
        disabling=disabling,
        memory=objects.Memory(enabled=in_force),
    )
    expected = gate_is_open(known, passed=last is PASSED)
    if not expected:
        open_again(gate)
    annotations = {names.DISABLING_ANNOTATION: "true"} if disabling else {}
    gate.runtime(wanted=wanted, in_force=in_force, last=last, annotations=annotations)

    assert gate.admits() if expected else gate.refuses(" ")


def test_a_namespace_can_opt_out(gate: Gate) -> None:
    plane = gate.plane
    plane.kubectl("create", "namespace", "break-glass")
    try:
        gate.refuses("no preflight check has finished", namespace="break-glass")
        plane.kubectl("label", "namespace", "break-glass", "kubevm.io/preflight-gate=on")
        gate.refuses("no preflight check has finished", namespace="break-glass")
        plane.kubectl("label", "--overwrite", "namespace", "break-glass", "kubevm.io/preflight-gate=off")
        assert gate.admits(namespace="break-glass")
        assert gate.refusal() != ""
    finally:
        plane.kubectl("delete", "namespace", "break-glass", "--wait=false")


OWNER = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "name": "vm",
    "uid": "1",
    "controller": True,
}


@pytest.mark.parametrize(
    ("owner", "exempt"),
    [
        (OWNER, True),
        ({**OWNER, "apiVersion": "vm.cluster.gke.io/v1"}, True),
        ({**OWNER, "controller": False}, False),
        ({key: value for key, value in OWNER.items() if key != "controller"}, False),
        ({**OWNER, "kind": "VirtualMachineInstanceReplicaSet"}, False),
        ({**OWNER, "apiVersion": "example.test/v1"}, False),
        ({**OWNER, "apiVersion": "kubevirt.io.example.test/v1"}, False),
    ],
)
def test_an_instance_is_exempt_only_with_a_virtual_machine_as_controller(
    gate: Gate, owner: Mapping[str, object], exempt: bool
) -> None:
    assert (gate.refusal(INSTANCE, owner=owner) == "") is exempt


@pytest.mark.parametrize("kind", [VIRTUAL_MACHINE, GDC_VIRTUAL_MACHINE])
def test_an_owned_virtual_machine_is_not_exempt(gate: Gate, kind: str) -> None:
    assert gate.refusal(kind, owner=OWNER) != ""


def test_what_a_user_of_kubectl_reads_is_one_sentence(gate: Gate) -> None:
    open_again(gate)
    gate.runtime(wanted=True, in_force=True, last=FAILED)
    gate.refuses("preflight check bad")
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "vm"}}

    with pytest.raises(ControlPlaneError) as refused:
        gate.plane.kubectl("apply", "-f", "-", stdin=json.dumps(machine))

    said = str(refused.value).partition("denied request: ")[2]
    assert said == f"preflight check bad failed (CPU, KVM); {NEXT} bad -o yaml"


def test_what_is_there_can_be_changed_and_deleted(gate: Gate) -> None:
    open_again(gate)
    machines = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "there"}}
    assert gate.plane.request("POST", machines, machine)[0] == 201
    gate.runtime(wanted=True, in_force=True, last=FAILED)
    gate.refuses("preflight check bad")

    assert gate.plane.request("PATCH", f"{machines}/there", {"spec": {"running": True}})[0] == 200
    assert gate.plane.request("DELETE", f"{machines}/there")[0] == 200


def test_a_kind_that_is_installed_later_is_gated_from_its_first_answer_on(gate: Gate) -> None:
    admin = Client(kubeconfig.load(str(gate.plane.kubeconfig)))
    instances = replace(names.VIRTUAL_MACHINES[1], version="v1alpha3")
    path = vmkinds.CRDS.path("virtualmachineinstances.kubevirt.io")
    gate.plane.request("DELETE", path)
    until(lambda: not vmkinds.answers(admin, path), "the kind is gone", seconds=60)
    try:
        admin.create(vmkinds.CRDS.path(), vmkinds.definition(instances, ["v1", "v1alpha3"]))
        created = f"{instances.path(namespace='default')}?dryRun=All"

        def first_answer() -> tuple[int, dict[str, object]] | None:
            answer = gate.plane.request("POST", created, vmkinds.machine(instances, "vm"))
            return None if answer[0] == 404 else answer

        code, said = until(first_answer, "the kind is served", seconds=60)
        assert (code, "no preflight check has finished" in str(said["message"])) == (403, True), said
    finally:
        gate.plane.request("DELETE", path)
        until(lambda: not vmkinds.answers(admin, path), "the kind is gone", seconds=60)
        gate.plane.apply_kinds()
        admin.close()


BINDING = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/vm-preflight-gate"


@pytest.fixture
def turned(gate: Gate) -> Iterator[Gate]:
    """The gate, which a test turns into something else; afterwards it refuses again."""
    yield gate
    gate.plane.apply_deploy()  # not a patch: kubectl remembers what an overlay applied
    gate.refuses("no preflight check has finished")


def created_with_warnings(gate: Gate) -> str:
    """What kubectl prints on standard error when it creates a virtual machine."""
    gate.admits()
    machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "vm"}}
    done = gate.plane.run_kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(machine))
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_kubectl_patch_turns_it_into_a_warning(turned: Gate) -> None:
    turned.plane.kubectl(*shlex.split(documented("kubectl patch validatingadmissionpolicybinding"))[1:])

    said = created_with_warnings(turned)
    assert said.startswith("Warning: Validation failed for ValidatingAdmissionPolicy 'vm-preflight-gate'")
    assert "no preflight check has finished since the VM runtime was enabled; wait for one with" in said


def test_an_overlay_turns_it_into_a_warning_for_good(turned: Gate, tmp_path: Path) -> None:
    text = documented("resources:\n- ../deploy", fence="```yaml\n").replace(
        "../deploy", os.path.relpath(DEPLOY, tmp_path)
    )
    (tmp_path / "kustomization.yaml").write_text(text)

    turned.plane.kubectl("apply", "-k", tmp_path)

    assert "no preflight check has finished" in created_with_warnings(turned)


def test_with_audit_alone_nobody_is_told(turned: Gate) -> None:
    turned.plane.request("PATCH", BINDING, {"spec": {"validationActions": ["Audit"]}})

    assert created_with_warnings(turned) == ""


def test_a_restarted_api_server_lets_nothing_through_that_was_refused(gate: Gate) -> None:
    """Its answer may be that it does not know the VMRuntime yet: docs/adr/0015."""
    gate.plane.stop_apiserver()
    gate.plane.start_apiserver()
    answers: list[str] = []

    def named() -> bool:
        answers.append(gate.refusal())
        return "no preflight check has finished" in answers[-1]

    until(named, "the gate knows the VMRuntime again", seconds=AFTER_A_RESTART)
    assert "" not in answers


def documented(begin: str, *, fence: str = "$ ") -> str:
    """What docs/operations.md tells people to type: a command, or a block."""
    text = (DEPLOY.parent / "docs" / "operations.md").read_text()
    end = "\n" if fence == "$ " else "```"
    return begin + text.partition(fence + begin)[2].partition(end)[0]
