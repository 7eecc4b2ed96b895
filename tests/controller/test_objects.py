from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import objects
from controller.objects import Features

FIELDS = (
    *(
        "metadata",
        "spec",
        "status",
        "name",
        "conditions",
        "type",
        "annotations",
        "labels",
        "taints",
        "checks",
    ),
    *("preflight", "lastActedOn", "pendingCheck", "skippedNodes", "features", "containerStatuses", "state"),
    *("waiting", "ownerReferences", "startTime", "completionTime", "affinity"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=40,
)


@pytest.mark.parametrize(
    "project", [objects.node, objects.agent_pod, objects.daemon_set, objects.check, objects.runtime]
)
@given(wire=st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON))
def test_nonsense_is_tolerated(project: Callable[[dict[str, object]], object], wire: dict[str, object]):
    assert project(wire) == project(wire)


@pytest.mark.parametrize(
    ("spec", "features"),
    [
        ({}, Features()),
        ({"useEmulation": False, "vmImageFormat": "raw", "preflight": {}}, Features()),
        ({"preflight": {"nodeCondition": True, "nodeLabel": True}}, Features()),
        ({"preflight": {"minPassedNodes": "100%", "ignoredChecks": []}}, Features()),
        ({"useEmulation": True}, Features(use_emulation=True)),
        ({"vmImageFormat": "qcow2"}, Features(vm_image_format="qcow2")),
        ({"preflight": {"minPassedNodes": 2}}, Features(min_passed_nodes=2)),
        ({"preflight": {"ignoredChecks": ["Tun", "Disk", "Tun"]}}, Features(ignored_checks=("Disk", "Tun"))),
        ({"useEmulation": "yes", "vmImageFormat": 1, "preflight": []}, Features()),
    ],
)
def test_features(spec: dict[str, object], features: Features):
    assert objects.features(spec) == features


@given(
    st.builds(
        Features,
        st.booleans(),
        st.sampled_from(["raw", "qcow2"]),
        st.integers(1, 9) | st.just("50%"),
        st.lists(st.sampled_from(["Disk", "Tun"]), unique=True).map(lambda names: tuple(sorted(names))),
    )
)
def test_features_that_were_acted_on_are_read_back(features: Features):
    status: dict[str, object] = {"lastActedOn": {"features": features.to_dict(), "skippedNodes": ["u"]}}
    memory = objects.memory(status)
    assert memory.features == features
    assert memory.skipped == {"u"}


def test_nothing_acted_on_yet_is_not_the_same_as_no_skipped_node():
    assert objects.memory({}).skipped is None
    assert objects.memory({"lastActedOn": {"skippedNodes": []}}).skipped == frozenset()


def pod(**status: object) -> objects.AgentPod:
    return objects.agent_pod({"metadata": {"name": "p"}, "spec": {"nodeName": "w1"}, "status": status})


def waiting(reason: str, *, ran: bool = False) -> dict[str, object]:
    last = {"lastState": {"terminated": {"reason": "Error"}}} if ran else {}
    return {"state": {"waiting": {"reason": reason, "message": "why"}}, **last}


RUNNING = {"state": {"running": {}}}
KILLED = {"state": {"terminated": {"reason": "OOMKilled"}}}
UNREADY = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
PULLING, CRASHED = waiting("ErrImagePull"), waiting("CrashLoopBackOff", ran=True)


@pytest.mark.parametrize(
    ("status", "starting", "reason"),
    [
        ({"containerStatuses": [waiting("ImagePullBackOff")]}, True, "ImagePullBackOff"),
        ({"containerStatuses": [RUNNING, PULLING]}, True, "ErrImagePull"),
        ({"initContainerStatuses": [waiting("ContainerCreating")]}, True, "ContainerCreating"),
        ({"containerStatuses": [waiting("ErrImagePull", ran=True)]}, False, "ErrImagePull"),
        ({"containerStatuses": [CRASHED]}, False, "CrashLoopBackOff"),
        ({"phase": "Running", "containerStatuses": [KILLED]}, False, "OOMKilled"),
        ({"phase": "Running", "conditions": [UNREADY]}, False, "ContainersNotReady"),
        ({"phase": "Pending", "conditions": [UNSCHEDULED]}, True, "Unschedulable"),
        ({}, True, "Pending"),
        ({"phase": "Failed"}, False, "NotReady"),
    ],
)
def test_why_a_pod_is_not_available(status: dict[str, object], starting: bool, reason: str):
    found = pod(**status)
    assert not found.available
    assert found.starting is starting
    assert found.reason == reason


def test_an_available_pod():
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    found = pod(conditions=[ready])
    assert found.available
    assert found.available_since is not None
    assert found.reason == ""


def test_a_pod_that_is_not_scheduled_is_meant_for_the_node_of_its_affinity():
    field = {"key": "metadata.name", "operator": "In", "values": ["w7"]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    assert objects.agent_pod({"spec": {"affinity": affinity}}).node == "w7"
