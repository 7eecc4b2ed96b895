"""No trigger is lost and none is acted on twice, whatever befalls the controller; order does not matter."""

from dataclasses import dataclass, field

from cluster_model import ClusterModel
from examples import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cluster import shapes

NAMES = ("a", "b")
OLD = "v1.37.1"
VERSIONS = st.sampled_from((OLD, "v1.38.0", "v1.38.1", ""))

Event = tuple[object, ...]
EVENTS = st.one_of(
    st.tuples(st.just("enabled"), st.booleans()),
    st.tuples(st.just("useEmulation"), st.booleans()),
    st.tuples(st.just("vmImageFormat"), st.sampled_from(("raw", "qcow2"))),
    st.tuples(st.just("skip"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("kubelet"), st.sampled_from(NAMES), VERSIONS),
    st.tuples(st.just("api server"), VERSIONS),
    st.tuples(st.just("joins"), st.sampled_from(NAMES), VERSIONS),
    st.tuples(st.just("leaves"), st.sampled_from(NAMES)),
    st.tuples(st.just("asked")),
)


@dataclass
class Expected:
    """What the decisions say should come of each event, without a controller: one step, one trigger at most.

    Attributes:
        triggers: What checks were made for.
    """

    triggers: list[str] = field(default_factory=list)
    enabled: bool = False
    features: dict[str, object] = field(
        default_factory=lambda: {"useEmulation": False, "vmImageFormat": "raw"}
    )
    skipped: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(NAMES, False))
    kubelets: dict[str, str] = field(default_factory=lambda: dict.fromkeys(NAMES, OLD))
    api_server: str = OLD

    def step(self, event: Event) -> None:
        match event:
            case ("enabled", bool(now)):
                self._fire("Enabled", now and not self.enabled, although_disabled=True)
                self.enabled = now
            case ("useEmulation" | "vmImageFormat" as name, now):
                self._fire("FeatureChanged", self.features[name] != now)
                self.features[name] = now
            case ("skip", str(node), bool(now)) if node in self.skipped:
                self._fire("SkipLabelRemoved", self.skipped[node] and not now)
                self.skipped[node] = now
            case ("kubelet", str(node), str(now)) if now and node in self.skipped:
                upgraded = self.kubelets[node] not in ("", now)
                self._fire("ClusterUpgraded", upgraded and not self.skipped[node])
                self.kubelets[node] = now
            case ("api server", str(now)) if now:
                self._fire("ClusterUpgraded", self.api_server != now)
                self.api_server = now
            case ("joins", str(node), str(version)) if node not in self.skipped:
                self.skipped[node], self.kubelets[node] = False, version
            case ("leaves", str(node)):
                self.skipped.pop(node, None)

    def _fire(self, trigger: str, fires: bool, *, although_disabled: bool = False) -> None:
        if fires and (self.enabled or although_disabled):
            self.triggers.append(trigger)


def happen(cluster: ClusterModel, event: Event) -> None:
    """Lets an event happen."""
    match event:
        case ("enabled", bool(now)):
            cluster.enable(enabled=now)
        case ("useEmulation" | "vmImageFormat" as name, now):
            spec = shapes.mapping(cluster.runtime, "spec")
            cluster.enable(enabled=shapes.flag(spec, "enabled"), **{name: now})
        case ("skip", str(node), bool(now)) if node in cluster.nodes:
            cluster.label(node, skip=now)
        case ("kubelet", str(node), str(now)) if node in cluster.nodes:
            cluster.upgrade(node, now)
        case ("api server", str(now)):
            cluster.api_server_version = now
        case ("joins", str(node), str(version)) if node not in cluster.nodes:
            cluster.add_node(node, version=version)
        case ("leaves", str(node)) if node in cluster.nodes:
            cluster.remove_node(node)
        case ("asked",):
            cluster.ask(f"manual-{len(cluster.created)}")


def go_on(cluster: ClusterModel) -> None:
    """More than a minute with looks now and then, and agents that answer whatever they are asked."""
    for _ in range(3):
        for _ in range(4):
            cluster.settle()
            cluster.wait(20)
        cluster.serve_all()
        cluster.answer_all()
    cluster.settle()


def installed() -> ClusterModel:
    cluster = ClusterModel()
    for name in NAMES:
        cluster.add_node(name)
    go_on(cluster)
    return cluster


BEFALLS = st.tuples(st.lists(st.integers(0, 6), max_size=2), st.booleans(), st.integers(0, 4))
"""Writes after which the controller is killed; whether another one acts late; which of its writes is lost."""


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(EVENTS, BEFALLS), min_size=1, max_size=8))
@example([(("enabled", True), ([], False, 0)), (("kubelet", "a", "v1.38.0"), ([1], True, 0))])
def test_each_trigger_makes_one_check(history: list[tuple[Event, tuple[list[int], bool, int]]]):
    cluster, expected = installed(), Expected()
    for event, (crashes, another, lost) in history:
        expected.step(event)
        happen(cluster, event)
        late = cluster.look_elsewhere() if another else ()
        cluster.settle(crash_after=crashes)
        cluster.act_late(late[:lost] + late[lost + 1 :])
        go_on(cluster)
        assert cluster.triggers == expected.triggers
    before = cluster.writes
    go_on(cluster)
    assert cluster.writes == before


TOGETHER: list[Event] = [
    ("useEmulation", True),
    ("vmImageFormat", "qcow2"),
    ("skip", "b", False),
    ("kubelet", "a", "v1.38.0"),
    ("api server", "v1.38.0"),
    ("joins", "c", "v1.38.1"),
]
"""Events of different things, in whichever order."""


def end(order: list[Event], looks: list[int]) -> tuple[object, list[str]]:
    """What is there after ``TOGETHER``, with so many looks after each; and what checks were made for."""
    cluster = installed()
    happen(cluster, ("enabled", True))
    happen(cluster, ("skip", "b", True))
    go_on(cluster)
    before = len(cluster.triggers)
    for event, count in zip(order, looks, strict=True):
        happen(cluster, event)
        for _ in range(count):
            cluster.act_late(cluster.look().actions)
            happen(cluster, event)
    go_on(cluster)
    asked = {name: shapes.mapping(one, "spec") for name, one in cluster.preflights.items()}
    there = (
        {
            name: (spec.get("skip"), spec.get("config"), spec.get("kubeletVersion"))
            for name, spec in asked.items()
        },
        {key: value for key, value in cluster.status["lastActedOn"].items() if key != "skippedNodes"},
        cluster.last["passed"],
        cluster.status["preflightCheckSummary"]["featureStatuses"],
        cluster.status["ready"],
        "pendingCheck" in cluster.status,
    )
    return there, cluster.triggers[before:]


ONE_BY_ONE, _ = end(TOGETHER, [0] * len(TOGETHER))


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.permutations(TOGETHER),
    st.lists(st.integers(0, 3), min_size=len(TOGETHER), max_size=len(TOGETHER)),
)
def test_neither_order_nor_repetition_changes_the_end(order: list[Event], looks: list[int]):
    there, triggers = end(order, looks)
    assert there == ONE_BY_ONE
    assert 1 <= len(triggers) <= len(TOGETHER) - 1  # that a node joins asks for none
    assert set(triggers) <= {"FeatureChanged", "SkipLabelRemoved", "ClusterUpgraded"}
