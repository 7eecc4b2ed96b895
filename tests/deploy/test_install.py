"""`kubectl apply -k deploy` on a real API server, and what a user then sees of the kinds."""

import json

import pytest
from controlplane import ControlPlane, ControlPlaneError

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
    assert told in " ".join(installed.kubectl("explain", field).split())


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


def test_an_empty_runtime_is_off_and_its_columns_are_those_of_the_specification(
    no_runtime: ControlPlane,
) -> None:
    _, made = no_runtime.request("POST", names.VM_RUNTIMES.path(), RUNTIME)

    assert made["spec"] == {"enabled": False, "useEmulation": False}
    header, row = no_runtime.kubectl("get", "vmruntime").splitlines()
    assert header.split() == ["NAME", "AGE", "ENABLED", "READY", "PREFLIGHTCHECK"]
    assert row.split()[0] == "vmruntime"
    assert row.split()[2:] == ["false"]


def test_a_second_runtime_is_refused(no_runtime: ControlPlane) -> None:
    other = {**RUNTIME, "metadata": {"name": "another"}}

    status, answer = no_runtime.request("POST", names.VM_RUNTIMES.path(), other)

    assert status == 422
    assert "there is one VMRuntime in a cluster, and its name is vmruntime" in answer["message"]


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


def test_fields_of_the_original_that_we_lack_are_pruned_with_a_warning(no_runtime: ControlPlane) -> None:
    body = {**RUNTIME, "spec": {"enabled": False, "enableGPU": True, "storage": {"defaultStorageClass": "x"}}}

    no_runtime.kubectl("create", "--validate=warn", "-f", "-", stdin=json.dumps(body))

    assert no_runtime.get_json("vmruntime", "vmruntime")["spec"] == {"enabled": False, "useEmulation": False}


@pytest.mark.parametrize("spec", [{}, {"spec": {}}])
def test_a_check_needs_only_a_name_and_shows_its_verdict(
    installed: ControlPlane, spec: dict[str, object]
) -> None:
    path = names.CHECKS.path(namespace="vm-system")
    status, made = installed.request("POST", path, {**CHECK, **spec})
    name = CHECK["metadata"]["name"]
    try:
        assert (status, made.get("spec"), "status" in made) == (201, spec.get("spec"), False)
        header, row = installed.kubectl("get", "vmruntimepfc", "-n", "vm-system", name).splitlines()
        assert (header.split(), len(row.split())) == (["NAME", "PASS", "AGE"], 2)
        verdict = {
            "pass": False,
            "checks": {
                "n1": {
                    "passed": False,
                    "results": [
                        {"checkName": "CPU", "passed": True, "status": "Pass", "reason": "FlagPresent"},
                        {
                            "checkName": "KVM",
                            "passed": False,
                            "status": "Fail",
                            "reason": "DeviceMissing",
                            "message": "/dev/kvm: No such file or directory\nmknod /dev/kvm c 10 232",
                        },
                    ],
                }
            },
        }
        patch = f"{path}/{name}/status"
        code, changed = installed.request("PATCH", patch, {"status": verdict})
        assert (code, changed["status"]) == (200, verdict)
        row = installed.kubectl("get", "vmruntimepfc", "-n", "vm-system", name).splitlines()[1]
        assert row.split()[:2] == [name, "false"]
    finally:
        installed.request("DELETE", f"{path}/{name}")


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


def test_more_than_ten_failures_are_refused(installed: ControlPlane) -> None:
    path = names.CHECKS.path(namespace="vm-system")
    check = {**CHECK, "metadata": {"name": "eleven", "namespace": "vm-system"}}
    failures = {f"n{number}": {"results": []} for number in range(11)}
    try:
        installed.request("POST", path, check)
        status, _ = installed.request("PATCH", f"{path}/eleven/status", {"status": {"failures": failures}})
        assert status == 422
    finally:
        installed.request("DELETE", f"{path}/eleven")


def test_the_namespace_admits_the_agents_pods(installed: ControlPlane) -> None:
    labels = installed.get_json("namespace", "vm-system")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_what_kubectl_refuses_is_told(no_runtime: ControlPlane) -> None:
    with pytest.raises(ControlPlaneError, match="unknown field"):
        no_runtime.kubectl("create", "-f", "-", stdin=json.dumps({**RUNTIME, "spec": {"enableGPU": True}}))
