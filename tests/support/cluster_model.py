"""A cluster small enough to be searched through: wire objects in dicts, and the controller's actions on them.

It stands in for nothing: what the API server does is tested on a real one. It serves the properties of pure
decisions, where thousands of histories with a crash after any write are played.
"""

import contextlib
import copy
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cluster import node_preflight, shapes
from cluster.node_preflight import NodeStatus
from cluster.resources import MODE_LABEL, PASSED_CONDITION, SKIP_LABEL, TRIGGER_ANNOTATION
from controller import actions, effects, objects, results
from controller.decide import decide
from controller.objects import AgentPod, Meta, Node
from controller.runs import Sight
from controller.silence import Patience
from controller.switch import VMs
from controller.upgrades import Upgrade
from controller.world import Decision, Manifest, World

Wire = dict[str, object]
START = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATE: Wire = {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}
LINUX = {"kubernetes.io/os": "linux"}


class ConflictError(Exception):
    """The object was changed or is gone."""


class ClusterModel:
    """The objects that the controller reads and writes.

    Attributes:
        now: The time of day.
        created: Names of all checks that were ever created, by whomever.
        triggers: What each check asked for that the controller created.
        answers: What agents have answered, by the run and the node's unique id.
        writes: How many writes the controller made.
        patience: How long nodes are waited for.
        api_server_version: What the API server tells.
    """

    def __init__(self) -> None:
        self.now = START
        self.created: list[str] = []
        self.triggers: list[str] = []
        self.answers: dict[tuple[str, str], bool] = {}
        self.writes = 0
        self.patience = Patience()
        self.api_server_version = "v1.37.1"
        self.runtime: Wire | None = None
        self.checks: dict[str, Wire] = {}
        self.nodes: dict[str, Wire] = {}
        self.preflights: dict[str, Wire] = {}
        self.daemon_set: Wire | None = None
        self.pods: dict[str, AgentPod] = {}
        self.vms = VMs.NONE
        self.manifest = Manifest(TEMPLATE)
        self._applied = False
        self._unserved_since: datetime | None = None
        self._upgrade: Upgrade | None = None
        self._sight: Sight | None = None
        self._check_written: datetime | None = None
        self._runtime_written: datetime | None = None
        self._ids = itertools.count(1)

    # what people and other programs do

    def enable(self, *, enabled: bool = True, **spec: object) -> None:
        assert self.runtime is not None
        before = self.runtime["spec"]
        assert isinstance(before, dict)
        after = {**before, "enabled": enabled, **spec}
        if after != before:
            self.runtime["spec"] = after
            self._bump(self.runtime)

    def annotate(self, name: str, value: str) -> None:
        assert self.runtime is not None
        metadata = self.runtime["metadata"]
        assert isinstance(metadata, dict)
        metadata["annotations"] = {name: value}
        self._written(self.runtime)

    def add_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        ready: bool = True,
        version: str = "v1.37.1",
    ) -> None:
        self.nodes[name] = {
            "metadata": {**self._metadata(name), "labels": {**LINUX, **(labels or {})}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "nodeInfo": {"kubeletVersion": version},
            },
        }

    def remove_node(self, name: str) -> None:
        """A node goes, and the garbage collector takes its NodePreflight."""
        del self.nodes[name]
        self.preflights.pop(name, None)
        self.pods.pop(name, None)

    def upgrade(self, name: str, version: str) -> None:
        """A node's kubelet is another version from now on."""
        status = self.nodes[name]["status"]
        assert isinstance(status, dict)
        status["nodeInfo"] = {"kubeletVersion": version}

    def label(self, name: str, *, skip: bool) -> None:
        metadata = self.nodes[name]["metadata"]
        assert isinstance(metadata, dict)
        labels = {key: value for key, value in metadata["labels"].items() if key != SKIP_LABEL}
        metadata["labels"] = {**labels, SKIP_LABEL: ""} if skip else labels

    def ask(self, name: str) -> None:
        """A person creates a check."""
        self._create_check(name, {})

    def delete_check(self, name: str) -> None:
        del self.checks[name]

    def answer(self, name: str, *, passed: bool = True, check: str = "KVM") -> None:
        """A node's agent answers what it is asked, if it is."""
        wire = self.preflights.get(name)
        asked = node_preflight.from_object(wire) if wire else None
        if wire is None or asked is None or asked.pending is None:
            return
        result: Wire = {"checkName": check, "status": "Pass" if passed else "Fail", "passed": passed}
        result |= {
            "reason": "GuestRan" if passed else "DeviceMissing",
            "message": "what happened",
            "hint": "do this",
        }
        status = NodeStatus(asked.pending.id, passed, "Hardware", (result,), self.now, self.now)
        wire["status"] = {key: value for key, value in status.to_dict().items() if value is not None}
        self._written(wire)
        self.answers[asked.pending.id, asked.node_uid] = passed

    def answer_all(self, *, passed: bool = True) -> None:
        for name in list(self.preflights):
            self.answer(name, passed=passed)

    def serve_all(self) -> None:
        """Every node gets an available agent's pod."""
        for name in self.nodes:
            self.pods[name] = AgentPod(Meta(f"agent-{name}"), "vm-preflight-agent", name, available=True)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # what the controller does

    def world(self) -> World:
        daemon_set = objects.daemon_set(self.daemon_set) if self.daemon_set else None
        return World(
            now=self.now,
            runtime=objects.runtime(self.runtime) if self.runtime else None,
            checks=tuple(objects.check(copy.deepcopy(wire)) for wire in self.checks.values()),
            nodes={name: objects.node(wire) for name, wire in self.nodes.items()},
            preflights={name: results.preflight(wire) for name, wire in self.preflights.items()},
            pods=dict(self.pods),
            api_server_version=self.api_server_version,
            upgrade=self._upgrade,
            sight=self._sight,
            daemon_set=daemon_set,
            manifest=Manifest(
                self.manifest.template, self.manifest.trouble, self._applied and daemon_set is not None
            ),
            vms=self.vms,
            unserved_since=self._unserved_since,
            check_written=self._check_written,
            runtime_written=self._runtime_written,
            new_name=f"vmruntime-preflight-check-{next(self._ids):08x}-0000-4000-8000-000000000000",
            patience=self.patience,
        )

    def look(self) -> Decision:
        """Decides without doing anything."""
        decision = decide(self.world())
        self._unserved_since = (self._unserved_since or self.now) if decision.unserved else None
        self._upgrade = decision.upgrade
        self._sight = decision.sight
        return decision

    def look_elsewhere(self) -> tuple[actions.Action, ...]:
        """Decides as another controller, which has seen the same and nothing before; for `act_late`."""
        return decide(replace(self.world(), upgrade=None, sight=None, unserved_since=None)).actions

    def act_late(self, todo: Iterable[actions.Action]) -> None:
        """Does what was decided a while ago, as far as nothing that is replaced was changed since."""
        for action in todo:
            with contextlib.suppress(ConflictError):
                self.do(action)

    def restart(self) -> None:
        """The controller's process ends and another begins: what it kept in memory is lost."""
        self._unserved_since = self._check_written = self._runtime_written = None
        self._upgrade = self._sight = None
        self._applied = False

    def settle(self, *, crash_after: Iterable[int] = ()) -> None:
        """Looks and acts until nothing is left to be done within a second.

        Args:
            crash_after: The controller is killed after that many writes, again and again, and restarts.
        """
        for count in crash_after:
            left = count
            for action in self.look().actions:
                if left == 0:
                    break
                left -= 1
                self.do(action)
            self.restart()
        for _ in range(30):
            decision = self.look()
            self.act_late(decision.actions)
            if decision.actions:
                self.wait(0.001)
            elif decision.look_again is not None and decision.look_again <= self.now + timedelta(seconds=1):
                self.now = decision.look_again
            else:
                return
        raise AssertionError(f"not settled: {decision.actions}")

    def do(self, action: actions.Action) -> None:
        """Does an action as `controller.effects` does it on an API server.

        Raises:
            Conflict: It was decided from what is no longer so.
        """
        self.writes += 1
        match action:
            case actions.CreateRuntime():
                self.runtime = {"metadata": self._metadata("vmruntime"), "spec": {"enabled": False}}
            case actions.WriteRuntimeStatus(runtime, status):
                self._replace(self.runtime, runtime.meta, status)
                self._runtime_written = self.now
            case actions.CreateCheck(name, trigger):
                if name not in self.checks:
                    self._create_check(name, {TRIGGER_ANNOTATION: trigger})
                    self.triggers.append(trigger)
            case actions.NoteTrigger(check, trigger):
                wire = self._same(self.checks.get(check.name), uid=check.meta.uid)
                metadata = wire["metadata"]
                assert isinstance(metadata, dict)
                metadata["annotations"] = {TRIGGER_ANNOTATION: trigger}
                self._written(wire)
            case actions.WriteCheckStatus(check=check, status=status):
                self._replace(self.checks.get(check.name), check.meta, status)
                self._check_written = self.now
            case actions.DeleteCheck(check):
                self._same(self.checks.get(check.name), uid=check.meta.uid)
                del self.checks[check.name]
            case actions.AskNode(node):
                self._ask(node, action)
            case actions.DeleteNodePreflight(preflight):
                there = self.preflights.get(preflight.name, {})
                if shapes.text(there, "metadata", "uid") == preflight.uid:
                    self.preflights.pop(preflight.name, None)
            case actions.LabelNode(node, value):
                self._same(self.nodes.get(node.name), uid=node.meta.uid)
                labels = {**node.labels, MODE_LABEL: value}
                metadata = shapes.mapping(self.nodes[node.name], "metadata")
                kept = {name: one for name, one in labels.items() if one is not None}
                self.nodes[node.name]["metadata"] = {**metadata, "labels": kept}
            case actions.WriteNodeCondition(node, condition):
                self._same(self.nodes.get(node.name), uid=node.meta.uid)
                found = shapes.items(self.nodes[node.name], "status", "conditions")
                others = [one for one in found if shapes.text(one, "type") != PASSED_CONDITION]
                ours = [] if condition is None else [effects.node_condition(condition, self.now)]
                status = shapes.mapping(self.nodes[node.name], "status")
                self.nodes[node.name]["status"] = {**status, "conditions": [*others, *ours]}
            case actions.ApplyAgents():
                self.daemon_set = {
                    "metadata": self._metadata("vm-preflight-agent"),
                    "spec": {"template": TEMPLATE},
                }
                self._applied = True
            case actions.DeleteAgents():
                self.daemon_set = None
                self._applied = False

    # what a test asks about

    @property
    def status(self) -> Wire:
        status = (self.runtime or {}).get("status", {})
        assert isinstance(status, dict)
        return status

    def check_status(self, name: str) -> Wire:
        status = self.checks[name].get("status", {})
        assert isinstance(status, dict)
        return status

    def condition(self, kind: str) -> Mapping[str, object]:
        return next(
            one for one in shapes.items(self.status, "conditions") if shapes.text(one, "type") == kind
        )

    @property
    def last(self) -> Mapping[str, object]:
        return shapes.mapping(self.status, "preflightCheckSummary", "lastCompleted")

    def _ask(self, node: Node, action: actions.AskNode) -> None:
        """Applies a NodePreflight; the garbage collector takes it at once if its node is not there."""
        before = self.preflights.get(node.name)
        if action.version:
            self._same(before, version=action.version)
        owner = self.nodes.get(node.name)
        if owner is None or shapes.text(owner, "metadata", "uid") != node.meta.uid:
            return
        body = action.body()
        metadata = {**shapes.mapping(body, "metadata"), "resourceVersion": str(next(self._ids))}
        uid = shapes.text(before, "metadata", "uid") or f"uid-{next(self._ids)}"
        status = shapes.mapping(before, "status")
        self.preflights[node.name] = {**body, "metadata": {**metadata, "uid": uid}, "status": dict(status)}

    def _same(self, wire: Wire | None, *, uid: str = "", version: str = "") -> Wire:
        """Returns an object if it is there and the one that was looked at, in that version if given."""
        found = shapes.text(wire, "metadata", "uid"), shapes.text(wire, "metadata", "resourceVersion")
        if wire is None or found != (uid or found[0], version or found[1]):
            raise ConflictError
        return wire

    def _replace(self, wire: Wire | None, meta: Meta, status: Mapping[str, object]) -> None:
        there = self._same(wire, uid=meta.uid, version=meta.resource_version)
        there["status"] = copy.deepcopy(dict(status))
        self._written(there)

    def _written(self, wire: Wire) -> None:
        metadata = wire["metadata"]
        assert isinstance(metadata, dict)
        metadata["resourceVersion"] = str(next(self._ids))

    def _create_check(self, name: str, annotations: dict[str, str]) -> None:
        self.created.append(name)
        self.checks[name] = {"metadata": {**self._metadata(name), "annotations": annotations}}

    def _metadata(self, name: str) -> Wire:
        number = next(self._ids)
        return {
            "name": name,
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "generation": 1,
            "creationTimestamp": shapes.timestamp(self.now),
        }

    def _bump(self, wire: Wire) -> None:
        metadata = wire["metadata"]
        assert isinstance(metadata, dict)
        metadata["generation"] = int(metadata["generation"]) + 1
        self._written(wire)
