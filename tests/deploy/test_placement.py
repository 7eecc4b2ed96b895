"""The opt-in that keeps virtual machines off skipped and failed nodes, on a real API server."""

import copy
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from controlplane import DEPLOY, ControlPlane, ControlPlaneError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import until

import cluster.resources as names
from cluster.resources import MODE_LABEL, SKIP_LABEL
from controller.objects import Meta, Node
from controller.participation import fits

COMPONENT = DEPLOY / "components" / "placement"
RUNTIME = names.VM_RUNTIMES.path(names.VM_RUNTIME_NAME)
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
NOT_SKIPPED = {"key": SKIP_LABEL, "operator": "DoesNotExist"}
NOT_FAILED = {"key": MODE_LABEL, "operator": "NotIn", "values": ["none"]}
ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
BY_NAME = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
OWNER = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "name": "vm",
    "uid": "1",
    "controller": True,
}
Spec = dict[str, Any]


def create(plane: ControlPlane, spec: Spec, namespace: str = "default") -> tuple[int, Spec]:
    """What the API server answers to a VirtualMachineInstance; nothing is stored."""
    body = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "vmi", "ownerReferences": [OWNER]},
        "spec": spec,
    }
    path = f"/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances?dryRun=All"
    return plane.request("POST", path, body)


def instance(plane: ControlPlane, spec: Spec, *, namespace: str = "default") -> Spec:
    """The spec of a VirtualMachineInstance as the API server would store it."""
    code, answer = create(plane, spec, namespace)
    assert code == 201, answer
    made = answer["spec"]
    assert isinstance(made, dict)
    return made


def runtime(plane: ControlPlane, *, enabled: bool = True, published: bool = True) -> None:
    """Has the VMRuntime as wanted, and waits until the policy goes by it."""
    body = {"spec": {"enabled": enabled, "preflight": {"nodeLabel": published}}}
    if plane.request("PATCH", RUNTIME, body)[0] == 404:
        made = {"apiVersion": "vm.cluster.gke.io/v1", "kind": "VMRuntime", **body}
        metadata = {"name": names.VM_RUNTIME_NAME}
        assert plane.request("POST", names.VM_RUNTIMES.path(), {**made, "metadata": metadata})[0] == 201
    wanted = [NOT_SKIPPED, *([NOT_FAILED] if published else [])] if enabled else None

    def look() -> bool:
        code, answer = create(plane, {})
        # 503, 403: an API server that does not know the kind, the policy or its parameters yet
        return code == 201 and expressions(answer["spec"]) == ([wanted] if wanted else [])

    until(look, f"placement with enabled={enabled}, published={published}", seconds=60)


def expressions(spec: Spec) -> list[object]:
    terms = spec.get("affinity", {}).get("nodeAffinity", {}).get(REQUIRED, {}).get("nodeSelectorTerms", [])
    return [term.get("matchExpressions") for term in terms]


@pytest.fixture(scope="module")
def plane(virtual_machine_kinds: ControlPlane) -> Iterator[ControlPlane]:
    """The installed control plane with the component; nothing is left of it."""
    _, served = virtual_machine_kinds.request("GET", "/apis/admissionregistration.k8s.io/v1")
    if "mutatingadmissionpolicies" not in {one["name"] for one in served["resources"]}:
        pytest.skip("this API server is older than 1.36: it has no MutatingAdmissionPolicy of version v1")
    plane = virtual_machine_kinds
    plane.request("DELETE", RUNTIME)
    plane.kubectl("apply", "-k", COMPONENT)
    yield plane
    plane.kubectl("delete", "-k", COMPONENT)
    plane.request("DELETE", RUNTIME)


@pytest.fixture
def published(plane: ControlPlane) -> ControlPlane:
    """The runtime in force, with the label published."""
    runtime(plane)
    return plane


def affinity(*terms: Mapping[str, object]) -> Spec:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}}


OTHERS: Spec = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}]}
SHAPES: tuple[Spec, ...] = (
    {},
    {"domain": {"devices": {}}, "nodeSelector": {"zone": "a"}},
    {"affinity": {}},
    {"affinity": None},
    {"affinity": {"podAntiAffinity": {REQUIRED: []}}},
    {"affinity": {"nodeAffinity": {}}},
    {"affinity": {"nodeAffinity": OTHERS}},
    {"affinity": {"nodeAffinity": {REQUIRED: None}}},
    affinity(),
    affinity({}),
    affinity({"matchExpressions": []}),
    affinity({"matchExpressions": [ZONE]}),
    affinity({"matchExpressions": [ZONE]}, {}, {"matchFields": [BY_NAME]}),
    affinity({"matchExpressions": [NOT_SKIPPED]}),
    affinity({"matchExpressions": [NOT_FAILED, ZONE]}, {"matchExpressions": [NOT_SKIPPED, NOT_FAILED]}),
    affinity({"matchExpressions": [ZONE], "matchFields": [BY_NAME]}),
    {**affinity({"matchFields": [BY_NAME]}), "nodeSelector": {"zone": "a"}},
)
NODES = [
    Node(Meta(name), {**skip, **mode, **zone})
    for name in ("n1", "n2")
    for skip in ({}, {SKIP_LABEL: ""}, {SKIP_LABEL: "any"})
    for mode in ({}, {MODE_LABEL: "hardware"}, {MODE_LABEL: "emulation"}, {MODE_LABEL: "none"})
    for zone in ({}, {"zone": "a"}, {"zone": "b"})
]


def narrowed(plane: ControlPlane, spec: Spec) -> None:
    """Asserts that exactly the skipped and the failed nodes are lost, and that nothing else is changed."""
    made = instance(plane, copy.deepcopy(spec))
    for node in NODES:
        allowed = not node.skipped and node.labels.get(MODE_LABEL) != "none"
        assert fits({"spec": made}, node) == (fits({"spec": spec}, node) and allowed), (node, made)
    assert instance(plane, copy.deepcopy(made)) == made, "applied again, it adds nothing"
    assert without_ours(made) == without_ours(spec)


def without_ours(spec: Spec) -> Spec:
    """Everything but what the policy may add."""
    bare = copy.deepcopy(spec)
    given = bare.pop("affinity", None) or {}
    node_affinity = given.pop("nodeAffinity", None) or {}
    required = node_affinity.pop(REQUIRED, None) or {}
    terms = [
        (
            term.get("matchFields"),
            [one for one in term.get("matchExpressions", []) if one not in (NOT_SKIPPED, NOT_FAILED)],
        )
        for term in required.get("nodeSelectorTerms", [])
    ]
    return {
        **bare,
        "affinity": given,
        "nodeAffinity": node_affinity,
        "terms": [one for one in terms if one != (None, [])],
    }


@pytest.mark.parametrize("spec", SHAPES, ids=json.dumps)
def test_any_affinity_is_narrowed_and_nothing_else_changed(published: ControlPlane, spec: Spec) -> None:
    narrowed(published, spec)


EXPRESSIONS = st.sampled_from(
    [ZONE, {"key": "zone", "operator": "Exists"}, NOT_SKIPPED, NOT_FAILED, {**ZONE, "operator": "NotIn"}]
)
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "matchExpressions": st.lists(EXPRESSIONS, max_size=3),
        "matchFields": st.lists(st.just(BY_NAME), max_size=1),
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(terms=st.lists(TERMS, max_size=4))
def test_terms_of_any_shape(published: ControlPlane, terms: Sequence[Mapping[str, object]]) -> None:
    narrowed(published, affinity(*terms))


def test_without_the_label_only_skipped_nodes_are_kept_off(plane: ControlPlane) -> None:
    runtime(plane, published=False)

    assert expressions(instance(plane, affinity({"matchExpressions": [ZONE]}))) == [[ZONE, NOT_SKIPPED]]


def test_a_runtime_that_is_off_or_not_there_leaves_virtual_machines_alone(plane: ControlPlane) -> None:
    runtime(plane, enabled=False)
    assert instance(plane, {"domain": {}}) == {"domain": {}}
    plane.request("DELETE", RUNTIME)
    assert instance(plane, {"domain": {}}) == {"domain": {}}


def test_a_namespace_can_be_left_out_by_the_gates_own_label(published: ControlPlane) -> None:
    namespace = {"metadata": {"name": "placed-anyhow", "labels": {"kubevm.io/preflight-gate": "off"}}}
    published.request("POST", "/api/v1/namespaces", namespace)
    try:
        assert until(
            lambda: instance(published, {}, namespace="placed-anyhow") == {}, "the namespace left out"
        )
        assert expressions(instance(published, {})) == [[NOT_SKIPPED, NOT_FAILED]]
    finally:
        published.request("DELETE", "/api/v1/namespaces/placed-anyhow")


def test_what_is_no_affinity_is_refused_with_the_policys_name(published: ControlPlane) -> None:
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "junk"}}
    with pytest.raises(ControlPlaneError, match="policy 'vm-preflight-placement'"):
        published.kubectl("create", "-f", "-", stdin=json.dumps({**body, "spec": {"affinity": "junk"}}))


def test_it_can_be_installed_with_everything_else_and_is_not_by_itself(
    plane: ControlPlane, tmp_path: Path
) -> None:
    deploy = shutil.copytree(DEPLOY, tmp_path / "deploy")
    assert "MutatingAdmissionPolicy" not in plane.kubectl("kustomize", deploy)
    file = deploy / "kustomization.yaml"
    file.write_text(file.read_text().replace("#components:", "components:"))

    assert plane.kubectl("kustomize", deploy).count("kind: MutatingAdmissionPolicy\n") == 1
