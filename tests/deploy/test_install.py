"""`kubectl apply -k deploy` on a real API server, and what a user then sees of the kinds."""

import json

import pytest
from controlplane import ControlPlane
from waiting import until

import cluster.resources as names

RUNTIME = {"apiVersion": "vm.cluster.gke.io/v1", "kind": "VMRuntime", "metadata": {"name": "vmruntime"}}
CHECK = {
    "apiVersion": "vm.cluster.gke.io/v1",
    "kind": "VMRuntimePreflightCheck",
    "metadata": {"name": "vmruntime-preflight-check-manual", "namespace": "vm-system"},
}


def test_applies_twice_and_the_second_time_changes_nothing(installed: ControlPlane) -> None:
    again = installed.apply_deploy().splitlines()

    assert len(again) > 10
    assert [line for line in again if not line.endswith(" unchanged")] == []


def test_installs_no_runtime_and_no_daemon_set_of_its_own(no_runtime: ControlPlane) -> None:
    said = no_runtime.apply_deploy()

    assert "vmruntime.vm.cluster.gke.io/" not in said
    assert "daemonset" not in said
    assert no_runtime.get_json("vmruntimes")["items"] == []


def test_the_agents_manifest_reaches_the_controller_as_it_is(installed: ControlPlane) -> None:
    data = installed.get_json("configmap", "-n", "vm-system", "vm-preflight-agent-manifest")["data"]

    said = installed.kubectl("create", "--dry-run=server", "-f", "-", stdin=data["daemonset.yaml"])
    assert said.strip() == "daemonset.apps/vm-preflight-agent created (server dry run)"


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("vmruntime", "The cluster-wide switch for running virtual machines"),
        ("vmruntime.spec.enabled", "The switch."),
        ("vmruntime.spec.preflight.minPassedNodes", "a percentage of them, rounded up"),
        ("vmruntimepreflightcheck.status.checks", "What each node answered, by node name."),
        ("vmruntimepfc.status.checks.results.message", "what to do"),
        ("npf.spec.run.deadline", "When the node fails for want of an answer."),
    ],
)
def test_explains_its_fields(installed: ControlPlane, field: str, told: str) -> None:
    # the API server publishes a kind's schema some time after the kind
    until(lambda: told in " ".join(installed.run_kubectl("explain", field).stdout.split()), f"{told!r}")


def test_every_field_is_described(installed: ControlPlane) -> None:
    undescribed = []

    def look(schema: dict[str, object], path: str) -> None:
        for name, field in schema.get("properties", {}).items():
            if "description" not in field and name not in ("apiVersion", "kind", "metadata"):
                undescribed.append(f"{path}.{name}")
            look(field, f"{path}.{name}")
        for inner in ("items", "additionalProperties"):
            if isinstance(schema.get(inner), dict):
                look(schema[inner], f"{path}[]")

    for definition in installed.get_json("crd", "-l", "app.kubernetes.io/name=vm-preflight")["items"]:
        version = definition["spec"]["versions"][0]
        look(version["schema"]["openAPIV3Schema"], definition["spec"]["names"]["kind"])
    assert undescribed == []


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (1, True),
        (0, False),
        (-1, False),
        ("1%", True),
        ("100%", True),
        ("0%", False),
        ("101%", False),
        ("2", False),
    ],
)
def test_minimum_of_passed_nodes(no_runtime: ControlPlane, value: int | str, accepted: bool) -> None:
    body = {**RUNTIME, "spec": {"preflight": {"minPassedNodes": value}}}

    status, answer = no_runtime.request("POST", f"{names.VM_RUNTIMES.path()}?dryRun=All", body)

    assert (status, "minPassedNodes" in answer.get("message", "")) == (
        (201, False) if accepted else (422, True)
    )


def test_node_preflights_columns(installed: ControlPlane) -> None:
    path = names.NODE_PREFLIGHTS.path()
    body = {
        "apiVersion": "kubevm.io/v1alpha1",
        "kind": "NodePreflight",
        "metadata": {"name": "columns"},
        "spec": {"run": {"id": "1", "check": "a-check", "deadline": "2026-01-01T00:00:00Z"}},
    }
    answer = {
        "passed": False,
        "mode": "None",
        "failedChecks": "KVM,Tun",
        "results": [
            {"checkName": "CPU", "status": "Pass", "passed": True, "reason": "FlagPresent"},
            {"checkName": "KVM", "status": "Fail", "passed": False, "reason": "DeviceMissing"},
            {"checkName": "Tun", "status": "Fail", "passed": False, "reason": "DeviceMissing"},
        ],
    }
    try:
        installed.request("POST", path, body)
        installed.request("PATCH", f"{path}/columns/status", {"status": answer})
        header, row = installed.kubectl("get", "npf", "columns").splitlines()
        assert header.split() == ["NAME", "PASSED", "MODE", "FAILED", "REASON", "RUN", "AGE"]
        assert row.split()[:-1] == ["columns", "false", "None", "KVM,Tun", "DeviceMissing", "a-check"]
    finally:
        installed.request("DELETE", f"{path}/columns")


def test_the_map_of_nodes_is_atomic_in_managed_fields(installed: ControlPlane) -> None:
    path = names.CHECKS.path(namespace="vm-system")
    annotations = {names.TRIGGER_ANNOTATION: "Requested"}  # without any field at all nothing is managed
    check = {**CHECK, "metadata": {"name": "atomic", "namespace": "vm-system", "annotations": annotations}}
    nodes = {f"n{number}": {"passed": True, "results": []} for number in range(3)}
    try:
        installed.request("POST", path, check)
        _, changed = installed.request("PATCH", f"{path}/atomic/status", {"status": {"checks": nodes}})
        assert "n1" in changed["status"]["checks"]
        managed = json.dumps(changed["metadata"]["managedFields"])
        assert "f:checks" in managed
        assert "f:n1" not in managed
    finally:
        installed.request("DELETE", f"{path}/atomic")


def test_the_policies_expressions_are_of_the_right_types(installed: ControlPlane) -> None:
    def checked() -> dict[str, object] | None:
        found = installed.get_json("validatingadmissionpolicies", "-l", "app.kubernetes.io/name=vm-preflight")
        told = {one["metadata"]["name"]: one.get("status", {}).get("typeChecking") for one in found["items"]}
        return told if None not in told.values() else None

    assert until(checked, "kube-controller-manager has checked the types", seconds=60) == {
        "vm-preflight-agent": {},
        "vm-preflight-controller": {},
        "vm-preflight-gate": {},
    }


def test_the_namespace_admits_the_agents_pods(installed: ControlPlane) -> None:
    labels = installed.get_json("namespace", "vm-system")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
