"""The controller's end state depends neither on crashes, nor on order, nor on repetition."""

from cluster_model import ClusterModel
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cluster import shapes
from controller import objects
from controller.actions import Action
from controller.switch import VMs, gate_is_open
from controller.triggers import AUTOMATIC_NAME

NAMES = ("a", "b", "c")
VERSIONS = ("v1.37.1", "v1.38.0", "v1.38.1", "")
JUNK = ({}, None, "junk", {"runID": 7, "passed": "yes"}, {"runID": "another's", "passed": True})


def story(crashes: tuple[int, ...]) -> tuple[ClusterModel, list[object]]:
    """Everything that a controller does, with the same crashes at each look; the state after each step."""
    cluster = ClusterModel()
    states: list[object] = []

    def settle() -> None:
        cluster.settle(crash_after=crashes)
        cluster.wait(1)
        states.append(state(cluster))

    for name in NAMES:
        cluster.add_node(name)
    cluster.label("c", skip=True)
    settle()
    cluster.enable(preflight={"ignoredChecks": ["Tun"]})
    settle()
    cluster.serve_all()
    cluster.answer_all()
    settle()
    cluster.label("c", skip=False)
    settle()
    cluster.answer("a")
    cluster.answer("b", passed=False)
    settle()
    cluster.wait(130)
    cluster.settle(crash_after=crashes)
    cluster.wait(130)  # a controller that begins anew waits anew for who is silent
    cluster.settle()
    states.append(state(cluster))
    cluster.ask("manual")
    settle()
    cluster.enable(enabled=False)
    settle()
    cluster.answer_all()
    settle()
    return cluster, states


def state(cluster: ClusterModel) -> object:
    """What is there, by roles instead of random names, without times and progress."""
    roles = {name: f"check-{position}" for position, name in enumerate(cluster.created)}

    def said(name: str) -> object:
        status = cluster.check_status(name)
        conditions = {
            shapes.text(one, "type"): shapes.text(one, "reason") for one in shapes.items(status, "conditions")
        }
        checks = status.get("checks") if "completionTime" in status else set(shapes.mapping(status, "checks"))
        return status.get("pass"), checks, status.get("featureStatuses"), conditions

    def asked(name: str) -> object:
        spec = shapes.mapping(cluster.preflights[name], "spec")
        return spec.get("skip"), spec.get("config"), roles.get(shapes.text(spec, "run", "check"))

    summary = shapes.mapping(cluster.status, "preflightCheckSummary")
    return (
        {roles[name]: said(name) for name in cluster.checks},
        roles.get(shapes.text(summary, "preflightCheckName")),
        summary.get("preflightCheckPassed"),
        roles.get(shapes.text(summary, "lastCompleted", "name")),
        cluster.status.get("enabled"),
        cluster.daemon_set is not None,
        {name: asked(name) for name in sorted(cluster.preflights)},
    )


CALM = story(())


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple))
def test_a_crash_after_any_write_changes_nothing(crashes: tuple[int, ...]):
    cluster, states = story(crashes)
    calm, calm_states = CALM
    assert states == calm_states
    assert len(cluster.created) == len(calm.created) == 3


class Histories(RuleBasedStateMachine):
    """Random histories: people, nodes, agents, time, crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = ClusterModel()
        self.asked = 0
        self.late: tuple[Action, ...] = ()

    @initialize(nodes=st.sets(st.sampled_from(NAMES)))
    def install(self, nodes: set[str]) -> None:
        for name in sorted(nodes):
            self.cluster.add_node(name)
        self.cluster.settle()

    @rule(enabled=st.booleans(), emulation=st.booleans())
    def switch(self, enabled: bool, emulation: bool) -> None:
        self.cluster.enable(enabled=enabled, useEmulation=emulation)

    @rule(name=st.sampled_from(NAMES), skip=st.booleans())
    def label(self, name: str, skip: bool) -> None:
        if name in self.cluster.nodes:
            self.cluster.label(name, skip=skip)

    @rule(name=st.sampled_from(NAMES), there=st.booleans())
    def node(self, name: str, there: bool) -> None:
        if there and name not in self.cluster.nodes:
            self.cluster.add_node(name)
        elif not there and name in self.cluster.nodes:
            self.cluster.remove_node(name)

    @rule(name=st.sampled_from(NAMES), passed=st.booleans())
    def answer(self, name: str, passed: bool) -> None:
        self.cluster.answer(name, passed=passed)

    @rule(passed=st.booleans())
    def answer_all(self, passed: bool) -> None:
        self.cluster.answer_all(passed=passed)

    @precondition(lambda self: self.asked < 4)
    @rule()
    def ask(self) -> None:
        self.asked += 1
        self.cluster.ask(f"manual-{self.asked}")

    @rule(which=st.integers(0, 20))
    def delete_check(self, which: int) -> None:
        if self.cluster.checks:
            self.cluster.delete_check(sorted(self.cluster.checks)[which % len(self.cluster.checks)])

    @rule()
    def delete_runtime(self) -> None:
        """Somebody deletes the VMRuntime, which the controller makes anew."""
        self.cluster.runtime = None
        self.cluster.settle()

    @rule(name=st.sampled_from((*NAMES, "")), version=st.sampled_from(VERSIONS))
    def upgrade(self, name: str, version: str) -> None:
        if not name:
            self.cluster.api_server_version = version
        elif name in self.cluster.nodes:
            self.cluster.upgrade(name, version)

    @rule(name=st.sampled_from(NAMES), junk=st.sampled_from(JUNK))
    def nonsense(self, name: str, junk: object) -> None:
        """Somebody edits a status by hand."""
        if name in self.cluster.preflights:
            self.cluster.preflights[name]["status"] = junk

    @rule(vms=st.sampled_from(VMs))
    def virtual_machines(self, vms: VMs) -> None:
        self.cluster.vms = vms

    @rule(seconds=st.sampled_from((0.5, 1, 6, 31, 121, 601)))
    def wait(self, seconds: float) -> None:
        self.cluster.wait(seconds)

    @rule(crashes=st.lists(st.integers(0, 5), max_size=2))
    def look(self, crashes: list[int]) -> None:
        self.cluster.settle(crash_after=crashes)
        self.gate_fits_the_table()

    @rule()
    def look_elsewhere(self) -> None:
        """Another controller, or one with a stale cache, decides now and acts later."""
        self.late = self.cluster.look_elsewhere()

    @rule(lost=st.integers(0, 5))
    def act_late(self, lost: int) -> None:
        """It acts at last, and one of its writes is lost."""
        self.cluster.act_late(self.late[:lost] + self.late[lost + 1 :])
        self.late = ()

    def gate_fits_the_table(self) -> None:
        """The rows of the disabling table (spec.md, 5), by the resource alone."""
        cluster = self.cluster
        assert cluster.runtime is not None
        wanted = shapes.flag(cluster.runtime, "spec", "enabled")
        in_force = shapes.flag(cluster.status, "enabled")
        if wanted:
            assert in_force
        elif cluster.vms is VMs.NONE:
            assert not in_force
        runtime = objects.runtime(cluster.runtime)
        is_open = gate_is_open(runtime, passed=shapes.flag(cluster.last, "passed"))
        assert is_open is (not in_force or (wanted and cluster.last.get("passed") is True))
        blocked = cluster.condition("DisableBlocked")["status"] == "True"
        assert blocked is (in_force and not wanted)

    @invariant()
    def one_check_runs_at_a_time(self) -> None:
        running = [
            name
            for name in self.cluster.checks
            if "startTime" in self.cluster.check_status(name)
            and "completionTime" not in self.cluster.check_status(name)
        ]
        assert len(running) <= 1

    @invariant()
    def a_pass_means_that_every_node_answered_so(self) -> None:
        for name in self.cluster.checks:
            status = self.cluster.check_status(name)
            if status.get("pass") is True:
                checks = shapes.mapping(status, "checks")
                assert checks
                assert all(shapes.flag(checks, node, "passed") for node in checks)
                run = shapes.text(self.cluster.checks[name], "metadata", "uid")
                heard = {
                    (node, passed)
                    for (answered, node), passed in self.cluster.answers.items()
                    if answered == run
                }
                assert len({node for node, passed in heard if passed}) >= len(checks)

    @invariant()
    def no_verdict_opens_the_gate_while_the_runtime_is_off(self) -> None:
        if not self.cluster.status.get("enabled"):
            assert not self.cluster.last

    @invariant()
    def the_gate_reads_a_check_of_the_present_enabling(self) -> None:
        name = shapes.text(self.cluster.last, "name")
        if name in self.cluster.checks:
            status = self.cluster.check_status(name)
            assert status["pass"] is self.cluster.last["passed"]
            assert status["enabledGeneration"] == self.cluster.status["enabledGeneration"]

    @invariant()
    def persons_checks_are_never_cancelled(self) -> None:
        for name in self.cluster.checks:
            conditions = shapes.items(self.cluster.check_status(name), "conditions")
            if any(shapes.text(one, "type") == "Cancelled" for one in conditions):
                assert AUTOMATIC_NAME.fullmatch(name)

    def teardown(self) -> None:
        """In the end every check has ended, and what is there fits the switch."""
        cluster = self.cluster
        if cluster.runtime is None:
            return
        cluster.vms = VMs.NONE
        for _ in range(14):
            cluster.settle()
            cluster.wait(601)
        assert all("completionTime" in cluster.check_status(name) for name in cluster.checks)
        wanted = shapes.flag(cluster.runtime, "spec", "enabled")
        assert cluster.status["enabled"] is wanted
        assert (cluster.daemon_set is not None) is wanted
        assert set(cluster.preflights) == (set(cluster.nodes) if wanted else set())
        assert not any(node.get("run") and not node.get("status") for node in cluster.preflights.values())
        before = cluster.writes
        cluster.settle()
        assert cluster.writes == before


Histories.TestCase.settings = settings(
    max_examples=examples(120),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestHistories = Histories.TestCase
