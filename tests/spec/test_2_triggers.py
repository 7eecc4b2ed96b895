"""spec.md, section 2, *When a preflight check runs*: every row on a real API server, by what people do."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from controllerlab import ControllerLab
from program import vm_preflight

from cluster.resources import CHECKS, NAMESPACE, NODE_PREFLIGHTS, SKIP_LABEL
from controller.silence import Patience

Deed = Callable[[ControllerLab], object]


@pytest.fixture(scope="module")
def enabled(lab: ControllerLab) -> ControllerLab:
    """Enabled: the first row."""
    lab.enable()
    lab.verdict(passed=True)
    return lab


def kubectl(words: str) -> Deed:
    """What somebody does with kubectl."""
    return lambda lab: lab.plane.kubectl(*words.split())


def change(**spec: object) -> Deed:
    """What somebody changes in the VMRuntime."""
    return lambda lab: lab.plane.kubectl(
        "patch", "vmruntime", "vmruntime", "--type=merge", "-p", json.dumps({"spec": spec})
    )


def manifest(name: str) -> Deed:
    """A manifest with only a name."""
    body = {"apiVersion": CHECKS.api_version, "kind": CHECKS.kind, "metadata": {"name": name}}
    return lambda lab: lab.plane.kubectl("create", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(body))


def command_line(lab: ControllerLab) -> None:
    """The command that asks for a check."""
    ended = vm_preflight("check", "vmruntimepfc", "--kubeconfig", str(lab.plane.kubeconfig))
    assert ended.returncode == 0, ended.stderr


def new_check(lab: ControllerLab, deed: Deed) -> tuple[str, str]:
    """Does something, and returns the name of the one check that comes of it and what triggered it."""
    before = lab.checks()
    deed(lab)
    lab.until(lambda: lab.checks() - before, "a check")
    (name,) = lab.checks() - before
    lab.until(lambda: lab.check(name).get("pass") is True, "its verdict")
    return name, lab.get(CHECKS, name, namespace=NAMESPACE)["metadata"]["annotations"]["kubevm.io/trigger"]


def no_check(lab: ControllerLab, deed: Deed) -> None:
    """Does something of which no check may come; one that is asked for later comes alone."""
    before = lab.checks()
    deed(lab)
    generation = lab.runtime()["metadata"]["generation"]
    lab.until(lambda: lab.status()["observedGeneration"] == generation, "the controller has seen it")
    asked, _ = new_check(lab, manifest("by-a-person"))
    lab.delete(CHECKS, asked, namespace=NAMESPACE)
    assert lab.checks() == before


# Line 5, while the runtime is disabled: a cluster can be checked before it is switched on.


def test_row_5_while_disabled(lab: ControllerLab) -> None:
    """Row 5, *decided*: also while disabled; agents are there for the time of the run, nothing is gated."""
    lab.agents.silent = {"w1", "w2"}
    manifest("before")(lab)
    lab.until(lambda: lab.daemon_set() and len(lab.pods()) == 2, "agents for the time of the run")
    assert lab.status()["enabled"] is False
    vm = json.dumps({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "vm"}})
    assert "created" in lab.plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=vm)
    lab.agents.speak("w1", "w2")
    lab.until(lambda: lab.check("before").get("pass") is True, "the verdict")
    lab.until(lambda: not lab.daemon_set() and not lab.pods(), "the agents have gone")
    check = lab.get(CHECKS, "before", namespace=NAMESPACE)
    assert check["metadata"]["annotations"] == {"kubevm.io/trigger": "Requested"}
    assert lab.summary()["preflightCheckPassed"] is True
    assert "lastCompleted" not in lab.summary(), "it says nothing about virtual machines"


def test_while_disabled_nothing_else_makes_a_check(lab: ControllerLab) -> None:
    """Rows 2 and 4 are of a runtime that is enabled; what changes before does not count later."""
    before = lab.checks()
    change(useEmulation=True)(lab)
    change(useEmulation=None)(lab)
    kubectl(f"label node w2 {SKIP_LABEL}=")(lab)
    lab.seen_skipped("w2")
    kubectl(f"label node w2 {SKIP_LABEL}-")(lab)
    lab.until(lambda: not lab.status()["lastActedOn"].get("skippedNodes"), "it is not skipped any more")
    name, trigger = new_check(lab, manifest("asked"))
    assert (trigger, lab.checks() - before) == ("Requested", {name})


def test_row_1(lab: ControllerLab) -> None:
    """Row 1: the VM runtime is enabled (`spec.enabled` becomes true)."""
    name, trigger = new_check(lab, change(enabled=True))

    assert trigger == "Enabled"
    assert set(lab.check(name)["checks"]) == {"w1", "w2"}


@pytest.mark.parametrize(
    "feature",
    [
        {"useEmulation": True},
        {"useEmulation": None},  # the default again
        {"vmImageFormat": "qcow2"},
        {"vmImageFormat": "raw"},
        {"preflight": {"minPassedNodes": "50%"}},
        {"preflight": {"ignoredChecks": ["VhostNet"]}},
    ],
    ids=json.dumps,
)
def test_row_2(enabled: ControllerLab, feature: dict[str, object]) -> None:
    """Row 2: a feature of it changes (`useEmulation`, …) while enabled."""
    _, trigger = new_check(enabled, change(**feature))

    assert trigger == "FeatureChanged"


@pytest.mark.parametrize(
    "same",
    [
        {"useEmulation": False},
        {"vmImageFormat": None},  # unset means raw, which it was
        {"preflight": {"ignoredChecks": ["VhostNet"], "nodeCondition": False}},
    ],
    ids=json.dumps,
)
def test_row_2_the_same_in_other_words(enabled: ControllerLab, same: dict[str, object]) -> None:
    """Row 2: an explicit default equals an absent one, and what is published is no feature."""
    no_check(enabled, change(**same))


def test_row_3(enabled: ControllerLab) -> None:
    """Row 3: the cluster is upgraded, here a kubelet; more in `tests/controller`, `test_upgrades…`."""
    enabled.stop()
    enabled.start(patience=Patience(quiet=timedelta(seconds=1)))

    _, trigger = new_check(enabled, lambda lab: lab.upgrade("w1", "v1.99.0"))

    assert trigger == "ClusterUpgraded"


@pytest.mark.parametrize("label", [f"{SKIP_LABEL}=", f"{SKIP_LABEL}=false"])
def test_row_4(enabled: ControllerLab, label: str) -> None:
    """Row 4: the label is removed from a node. Set with any value it skips the node, and makes no check."""
    kubectl(f"label nodes w2 {label}")(enabled)
    enabled.seen_skipped("w2")
    asked, _ = new_check(enabled, manifest(f"skipped{label.rpartition('=')[2]}"))
    assert set(enabled.check(asked)["checks"]) == {"w1"}, "left out of later checks and of their verdict"

    name, trigger = new_check(enabled, kubectl(f"label nodes w2 {SKIP_LABEL}-"))

    assert trigger == "SkipLabelRemoved"
    assert set(enabled.check(name)["checks"]) == {"w1", "w2"}


def test_a_skipped_node_fails_nothing(enabled: ControllerLab) -> None:
    """Line: a skipped node is left out of the verdict, even one that failed."""
    enabled.agents.failing = {"w2"}
    kubectl(f"label nodes w2 {SKIP_LABEL}=")(enabled)
    enabled.seen_skipped("w2")
    new_check(enabled, manifest("w2-would-fail"))

    enabled.agents.failing = set()
    new_check(enabled, kubectl(f"label nodes w2 {SKIP_LABEL}-"))


@pytest.mark.parametrize("how", [manifest("by-manifest"), command_line], ids=["manifest", "command line"])
def test_row_5(enabled: ControllerLab, how: Deed) -> None:
    """Row 5: somebody creates a VMRuntimePreflightCheck, by manifest or by the command line."""
    _, trigger = new_check(enabled, how)

    assert trigger == "Requested"


def test_nodes_that_take_part(enabled: ControllerLab) -> None:
    """Line: it runs on every node that is not skipped and open to the agent's pods."""
    enabled.add_node("windows", labels={"kubernetes.io/os": "windows"})
    enabled.add_node("control-plane")
    taint = "node-role.kubernetes.io/control-plane:NoSchedule"
    enabled.plane.kubectl("taint", "node", "control-plane", taint)
    enabled.add_node("cordoned")
    enabled.plane.kubectl("cordon", "cordoned")
    those = {"w1", "w2", "cordoned"}
    enabled.until(lambda: enabled.names(NODE_PREFLIGHTS) == those, "the controller has seen them")
    name, _ = new_check(enabled, manifest("who-takes-part"))

    assert set(enabled.check(name)["checks"]) == those
