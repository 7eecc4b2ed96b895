"""spec.md, section 1, *Resources*: every line and every row, as people see it through kubectl."""

import json
import re
from typing import Any

import pytest
import yaml
from controllerlab import ControllerLab

from cluster.resources import CHECKS, NAMESPACE, VM_RUNTIME_NAME, VM_RUNTIMES

RUNTIME = {"apiVersion": "vm.cluster.gke.io/v1", "kind": "VMRuntime", "metadata": {"name": "vmruntime"}}
MANUAL = "vmruntime-preflight-check-manual"
MANIFEST = """\
apiVersion: vm.cluster.gke.io/v1
kind: VMRuntimePreflightCheck
metadata:
  name: vmruntime-preflight-check-manual
  namespace: vm-system
"""
AUTOMATIC_NAME = re.compile(
    r"vmruntime-preflight-check-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
CHECKS_PATH = CHECKS.path(namespace=NAMESPACE)


@pytest.fixture(scope="module")
def under_way(lab: ControllerLab, tmp_path_factory: pytest.TempPathFactory) -> ControllerLab:
    """Enabled as people do it; the agents have not answered yet."""
    lab.agents.silent = {"w1", "w2"}
    editor = tmp_path_factory.mktemp("editor") / "editor"
    editor.write_text('#!/bin/sh\nexec sed -i "s/enabled: false/enabled: true/" "$1"\n')
    editor.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBE_EDITOR", str(editor))
        assert lab.plane.kubectl("edit", "vmruntime") == "vmruntime.vm.cluster.gke.io/vmruntime edited\n"
    lab.until(lambda: lab.summary().get("preflightCheckName"), "a check is under way")
    return lab


@pytest.fixture(scope="module")
def passed(under_way: ControllerLab) -> ControllerLab:
    """Every node answered that it passes."""
    under_way.agents.speak("w1", "w2")
    under_way.verdict(passed=True)
    under_way.until(lambda: under_way.status()["ready"], "ready")
    return under_way


@pytest.fixture(scope="module")
def failed(passed: ControllerLab) -> ControllerLab:
    """A check that somebody asked for with the documented manifest; one of two nodes failed."""
    passed.agents.failing = {"w2"}
    passed.plane.kubectl("create", "-f", "-", stdin=MANIFEST)
    passed.verdict(passed=False)
    return passed


def runtime(lab: ControllerLab) -> dict[str, Any]:
    """The VMRuntime as `kubectl get vmruntime vmruntime -o yaml` shows it."""
    return yaml.safe_load(lab.plane.kubectl("get", "vmruntime", "vmruntime", "-o", "yaml"))


def shown(lab: ControllerLab, *what: str) -> list[list[str]]:
    """The words of each line of `kubectl get`."""
    return [line.split() for line in lab.plane.kubectl("get", *what).splitlines()]


# VMRuntime: `vm.cluster.gke.io/v1`, cluster-scoped, a singleton named `vmruntime`


@pytest.mark.parametrize("resource", ["vmruntimes", "vmruntimepreflightchecks"])
def test_kinds(lab: ControllerLab, resource: str) -> None:
    """The kinds' names, group, version, scope and short name."""
    group = lab.plane.kubectl("api-resources", "--api-group=vm.cluster.gke.io", "--no-headers")
    rows = {line.split()[0]: line.split()[1:] for line in group.splitlines()}

    assert rows[resource] == {
        "vmruntimes": ["vm.cluster.gke.io/v1", "false", "VMRuntime"],
        "vmruntimepreflightchecks": [
            "vmruntimepfc", "vm.cluster.gke.io/v1", "true", "VMRuntimePreflightCheck"
        ],
    }[resource]  # fmt: skip


def test_it_is_there_after_installation_switched_off(lab: ControllerLab) -> None:
    """Line: it is there after installation (the controller makes it), with `enabled: false`."""
    assert runtime(lab)["spec"]["enabled"] is False
    assert runtime(lab)["status"]["enabled"] is False
    assert lab.daemon_set() == {}
    assert lab.checks() == set()


def test_a_second_one_is_refused(lab: ControllerLab) -> None:
    """Line: a second object of the kind, under another name, is refused."""
    other = json.dumps({**RUNTIME, "metadata": {"name": "another"}})

    said = lab.plane.run_kubectl("create", "-f", "-", stdin=other)

    assert said.returncode == 1
    assert "there is one VMRuntime in a cluster, and its name is vmruntime" in said.stderr


@pytest.mark.parametrize("spec", [{}, {"spec": {}}])
def test_defaults(lab: ControllerLab, spec: dict[str, object]) -> None:
    """Rows `spec.enabled` (off by default), `spec.useEmulation` (default false); a format has no default."""
    path = VM_RUNTIMES.path(VM_RUNTIME_NAME)
    try:
        lab.stop()  # else it would come first
        lab.delete(VM_RUNTIMES, VM_RUNTIME_NAME)
        status, made = lab.plane.request("POST", VM_RUNTIMES.path(), {**RUNTIME, **spec})
        assert (status, made["spec"]) == (201, {"enabled": False, "useEmulation": False})
    finally:
        lab.delete(VM_RUNTIMES, VM_RUNTIME_NAME)
        lab.start()
        lab.installed()
    assert lab.plane.request("GET", path)[0] == 200


@pytest.mark.parametrize(
    ("value", "accepted"), [("raw", True), ("qcow2", True), ("vmdk", False), ("", False)]
)
def test_image_format(lab: ControllerLab, value: str, accepted: bool) -> None:
    """Row `spec.vmImageFormat` (`raw` or `qcow2`)."""
    path = f"{VM_RUNTIMES.path(VM_RUNTIME_NAME)}?dryRun=All"

    status, answer = lab.plane.request("PATCH", path, {"spec": {"vmImageFormat": value}})

    assert status == (200 if accepted else 422)
    assert accepted or 'supported values: "raw", "qcow2"' in answer["message"]


def test_fields_that_only_the_original_has_are_pruned_with_a_warning(lab: ControllerLab) -> None:
    """Line: unknown optional fields that GDC also has are pruned with the ordinary warning, not refused."""
    ours = {"enableGPU": True, "storage": {"defaultStorageClass": "x"}, "evictionPolicy": "LiveMigrate"}
    manifest = json.dumps({**RUNTIME, "spec": {"enabled": False, "useEmulation": False, **ours}})

    said = lab.plane.run_kubectl("apply", "--validate=warn", "-f", "-", stdin=manifest)

    assert said.returncode == 0, said.stderr
    warned = {line for line in said.stderr.splitlines() if "unknown field" in line}
    assert warned == {f'Warning: unknown field "spec.{name}"' for name in ours}
    assert runtime(lab)["spec"] == {"enabled": False, "useEmulation": False}
    refused = lab.plane.run_kubectl("apply", "-f", "-", stdin=manifest)  # kubectl's own wish, unless told
    assert 'unknown field "spec.enableGPU"' in refused.stderr


def test_print_columns_switched_off(lab: ControllerLab) -> None:
    """Print columns: Age, Enabled, Ready, PreflightCheck; the last is empty while no check exists."""
    header, row = shown(lab, "vmruntime")

    assert header == ["NAME", "AGE", "ENABLED", "READY", "PREFLIGHTCHECK"]
    assert (row[0], row[2:]) == ("vmruntime", ["false", "false"])
    assert "preflightCheckSummary" not in runtime(lab)["status"]


def test_a_check_under_way(under_way: ControllerLab) -> None:
    """Rows `preflightCheckName` (the latest check), `preflightCheckPassed` (absent while one is running)."""
    (name,) = under_way.checks()

    assert runtime(under_way)["status"]["preflightCheckSummary"] == {"preflightCheckName": name}
    assert shown(under_way, "vmruntime")[1][2:] == ["true", "false"]


def test_a_check_under_way_has_no_verdict(under_way: ControllerLab) -> None:
    """Rows `pass` (absent until every check has finished), `startTime` (when it was picked up)."""
    (name,) = under_way.checks()
    under_way.until(lambda: under_way.check(name).get("startTime"), "it was picked up")
    status = under_way.check(name)

    assert {"pass", "completionTime", "failures"} & set(status) == set()
    assert set(status["checks"]) == {"w1", "w2"}
    assert shown(under_way, "vmruntimepfc", "-n", "vm-system")[1][:1] == [name]
    assert len(shown(under_way, "vmruntimepfc", "-n", "vm-system")[1]) == 2, "PASS is empty"


def test_automatic_names(under_way: ControllerLab) -> None:
    """Line: automatic runs are named `vmruntime-preflight-check-<uuid4>`."""
    (name,) = under_way.checks()

    assert AUTOMATIC_NAME.fullmatch(name)


def test_the_summary_as_yaml(passed: ControllerLab) -> None:
    """The block that `kubectl get vmruntime vmruntime -o yaml` shows; rows `preflightCheck…` of a pass."""
    (name,) = passed.checks()
    documented = f"""\
  preflightCheckSummary:
    featureStatuses:
      CPU:
        passed: true
      KVM:
        passed: true
    preflightCheckName: {name}
    preflightCheckPassed: true
"""
    whole = passed.plane.kubectl("get", "vmruntime", "vmruntime", "-o", "yaml")
    ours = re.compile(r"^    lastCompleted:\n(      .*\n)+", re.MULTILINE)

    assert documented in ours.sub("", whole)


def test_ready_as_described(passed: ControllerLab) -> None:
    """Line: `kubectl describe vmruntime vmruntime` shows `Ready: true`; row `status.ready`."""
    said = passed.plane.kubectl("describe", "vmruntime", "vmruntime")

    assert re.search(r"^  Ready: +true$", said, re.MULTILINE)


def test_conditions_and_generation(passed: ControllerLab) -> None:
    """Rows `status.conditions` (standard Kubernetes conditions) and `status.observedGeneration`."""
    found = runtime(passed)
    standard = {"type", "status", "reason", "message", "lastTransitionTime", "observedGeneration"}

    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert [one for one in found["status"]["conditions"] if set(one) != standard] == []
    assert {one["observedGeneration"] for one in found["status"]["conditions"]} == {
        found["metadata"]["generation"]
    }
    assert passed.plane.kubectl("wait", "--for=condition=Ready", "vmruntime/vmruntime", "--timeout=60s")


def test_print_columns_passed(passed: ControllerLab) -> None:
    """Print columns: the PreflightCheck is `.status.preflightCheckSummary.preflightCheckPassed`."""
    assert shown(passed, "vmruntime")[1][2:] == ["true", "true", "true"]


def test_features_of_a_failed_check(failed: ControllerLab) -> None:
    """Row `featureStatuses`: feature name → `{passed, failedNodeNum?}`; false in `preflightCheckPassed`."""
    summary = runtime(failed)["status"]["preflightCheckSummary"]

    assert summary["preflightCheckName"] == MANUAL
    assert summary["preflightCheckPassed"] is False
    assert summary["featureStatuses"] == {
        "CPU": {"passed": True},
        "KVM": {"passed": False, "failedNodeNum": 1},
    }
    assert shown(failed, "vmruntime")[1][2:] == ["true", "false", "false"]
    assert failed.condition("Ready")["message"] == (
        f"preflight check {MANUAL} failed (KVM); "
        f"see why with: kubectl get vmruntimepfc -n vm-system {MANUAL} -o yaml"
    )


# VMRuntimePreflightCheck: `vm.cluster.gke.io/v1`, namespaced (`vm-system`), short name `vmruntimepfc`


@pytest.mark.parametrize("spec", [{}, {"spec": {}}])
def test_its_spec_may_be_empty_or_absent(lab: ControllerLab, spec: dict[str, object]) -> None:
    """Line: `spec` may be empty or absent; nothing is filled in."""
    body = {**yaml.safe_load(MANIFEST), "metadata": {"name": "another"}, **spec}

    status, made = lab.plane.request("POST", f"{CHECKS_PATH}?dryRun=All", body)

    assert (status, made.get("spec"), "status" in made) == (201, spec.get("spec"), False)


def test_the_list_of_checks(failed: ControllerLab) -> None:
    """`kubectl get vmruntimepfc -n vm-system` prints NAME, PASS, AGE, a line for each check."""
    header, *rows = shown(failed, "vmruntimepfc", "-n", "vm-system", "--sort-by=.metadata.creationTimestamp")

    assert header == ["NAME", "PASS", "AGE"]
    assert [row[1] for row in rows] == ["true", "false"]
    assert AUTOMATIC_NAME.fullmatch(rows[0][0])
    assert rows[1][0] == MANUAL
    assert all(re.fullmatch(r"(\d+[ms])+", row[2]) for row in rows)


def test_a_failed_nodes_entry(failed: ControllerLab) -> None:
    """Rows `checks` and `failures`, as `-o yaml` shows them: a message only where it did not pass cleanly."""
    said = failed.plane.kubectl("get", "vmruntimepfc", "-n", "vm-system", MANUAL, "-o", "yaml")
    documented = """\
    w2:
      passed: false
      results:
      - checkName: CPU
        passed: true
        reason: FlagPresent
        status: Pass
      - checkName: KVM
        message: |-
          /dev/kvm: No such file or directory
          modprobe kvm
        passed: false
        reason: DeviceMissing
        status: Fail
"""
    failures = """\
  failures:
    w2:
      results:
      - checkName: KVM
        message: |-
          /dev/kvm: No such file or directory
          modprobe kvm
        passed: false
        reason: DeviceMissing
        status: Fail
"""

    assert documented in said
    assert failures in said
    assert yaml.safe_load(said)["status"]["checks"]["w1"] == {
        "passed": True,
        "results": [
            {"checkName": "CPU", "passed": True, "status": "Pass", "reason": "FlagPresent"},
            {"checkName": "KVM", "passed": True, "status": "Pass", "reason": "GuestRan"},
        ],
    }


def test_it_started_and_ended(failed: ControllerLab) -> None:
    """Rows `pass`, `startTime` and `completionTime`."""
    status = failed.check(MANUAL)
    created = failed.get(CHECKS, MANUAL, namespace=NAMESPACE)["metadata"]["creationTimestamp"]

    assert status["pass"] is False
    assert created <= status["startTime"] <= status["completionTime"]


def test_at_most_ten_failures(lab: ControllerLab) -> None:
    """Row `failures`: at most 10 nodes; the schema refuses more."""
    check = {**yaml.safe_load(MANIFEST), "metadata": {"name": "eleven", "namespace": NAMESPACE}}
    failures = {f"n{number}": {"results": []} for number in range(11)}
    try:
        lab.stop()
        assert lab.plane.request("POST", CHECKS_PATH, check)[0] == 201
        path = f"{CHECKS_PATH}/eleven/status"
        assert lab.plane.request("PATCH", path, {"status": {"failures": failures}})[0] == 422
        del failures["n0"]
        assert lab.plane.request("PATCH", path, {"status": {"failures": failures}})[0] == 200
    finally:
        lab.delete(CHECKS, "eleven", namespace=NAMESPACE)
        lab.start()
