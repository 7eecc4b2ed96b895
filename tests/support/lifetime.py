"""What a cluster lives through from enabling to disabling, told step by step: faults are spread over it."""

from collections.abc import Callable, Collection, Iterator

from controllerlab import ControllerLab
from witness import Expected

from cluster import shapes
from cluster.resources import NODE_PREFLIGHTS

SECONDS = 240.0
"""A machine that runs tests may be busy, and one step may take a controller many lives."""

UPGRADE = "v1.99.0"

Step = Callable[[ControllerLab], Expected | None]
"""Does something to a cluster, waits for what must come of it, and returns the check that was made of it."""


def enabling(lab: ControllerLab) -> Expected:
    lab.enable()
    verdict(lab, passed=True)
    return Expected("Enabled", passed=True)


def label_removed(lab: ControllerLab) -> Expected:
    known = lab.checks()
    lab.label("w2", skip=True)
    lab.until(
        lambda: (
            shapes.words(lab.status(), "lastActedOn", "skippedNodes")
            and shapes.flag(lab.get(NODE_PREFLIGHTS, "w2"), "spec", "skip")
        ),
        "the label is acted on",
        seconds=SECONDS,
    )
    lab.label("w2", skip=False)
    verdict(lab, passed=True, other_than=known)
    return Expected("SkipLabelRemoved", passed=True)


def node_failing(lab: ControllerLab) -> Expected:
    known = lab.checks()
    lab.agents.failing = {"w2"}
    lab.ask("w2-fails")  # of two checks of one second the later name is the latest
    verdict(lab, passed=False, other_than=known)
    return Expected("Requested", passed=False)


def feature_changed(lab: ControllerLab) -> Expected:
    known = lab.checks()
    lab.agents.failing = set()
    lab.enable(useEmulation=True)
    verdict(lab, passed=True, other_than=known)
    return Expected("FeatureChanged", passed=True)


def disabling(lab: ControllerLab) -> None:
    lab.enable(enabled=False)
    lab.until(
        lambda: lab.status().get("enabled") is False and not lab.names(NODE_PREFLIGHTS) and not lab.pods(),
        "it is off and nothing is left",
        seconds=SECONDS,
    )


def asked_while_disabled(lab: ControllerLab) -> Expected:
    lab.ask("while-disabled")
    lab.until(lambda: lab.check("while-disabled").get("pass") is True, "its verdict", seconds=SECONDS)
    return Expected("Requested", passed=True)


def upgraded(lab: ControllerLab) -> Expected:
    """A kubelet is of another version: needs a controller that is told to wait for quiet but shortly."""
    known = lab.checks()
    lab.upgrade("w1", UPGRADE)
    verdict(lab, passed=True, other_than=known)
    noted = shapes.text(lab.get(NODE_PREFLIGHTS, "w1"), "spec", "kubeletVersion")
    assert noted == UPGRADE, f"acted on, but {noted} is noted"
    return Expected("ClusterUpgraded", passed=True)


STORY: tuple[Step, ...] = (
    enabling,
    label_removed,
    node_failing,
    feature_changed,
    disabling,
    asked_while_disabled,
)
EVERY_WRITE = frozenset(
    {
        ("POST", "vmruntimes"),
        ("PUT", "vmruntimes/status"),
        ("POST", "vmruntimepreflightchecks"),
        ("PATCH", "vmruntimepreflightchecks"),
        ("PUT", "vmruntimepreflightchecks/status"),
        ("PATCH", "nodepreflights"),
        ("DELETE", "nodepreflights"),
        ("PATCH", "daemonsets"),
        ("DELETE", "daemonsets"),
        ("POST", "events"),
    }
)
"""What the controller writes in the story; it deletes a check only when there are more than ten."""


def kind_of(method: str, path: str) -> tuple[str, str]:
    """Names a write without the names of objects."""
    parts = path.split("/")
    plurals = {plural.removesuffix("/status") for _, plural in EVERY_WRITE} | {"leases"}
    plural = next(part for part in parts if part in plurals)
    return method, f"{plural}/status" if parts[-1] == "status" else plural


def verdict(lab: ControllerLab, *, passed: bool, other_than: Collection[str] = ()) -> None:
    """Waits for the verdict of a new check, and until it is what decides about virtual machines."""
    name = lab.verdict(passed=passed, other_than=other_than, seconds=SECONDS)
    lab.until(
        lambda: shapes.text(lab.summary(), "lastCompleted", "name") == name, "it decides", seconds=SECONDS
    )


def add_nodes(lab: ControllerLab) -> None:
    """Adds the nodes of the story, before a controller begins: one that is seen too late is in no check."""
    lab.add_node("w1")
    lab.add_node("w2")


def told(lab: ControllerLab, steps: tuple[Step, ...] = STORY) -> Iterator[tuple[tuple[Expected, ...], bool]]:
    """Tells the story; after each step yields the checks that must have been, and whether it is enabled."""
    lab.until(lab.status, "the controller writes the VMRuntime's status", seconds=SECONDS)
    expected: tuple[Expected, ...] = ()
    for step in steps:
        if (check := step(lab)) is not None:
            expected += (check,)
        yield expected, shapes.flag(lab.runtime(), "spec", "enabled")
