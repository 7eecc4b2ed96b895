"""The one loop: look at the caches, decide, do, and look again until nothing is left to be done.

A change of any object, or the time that a decision waits for, only says *look again*. One thread does it all.
An action that fails is tried again later by itself and does not hold up the others; a server that does not
answer ends the look.
"""

import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import structlog

from cluster.backoff import Backoff
from cluster.resources import VM_RUNTIME_NAME
from cluster.transport import ApiError, Client
from controller import actions, runs, summary, vms
from controller.actions import Action
from controller.decide import LOOK_AGAIN_FOR_VMS, Decision, World, decide
from controller.effects import Effects
from controller.fanout import Fanout, server_is_away
from controller.metrics import Metrics
from controller.objects import Runtime
from controller.observe import Observed
from controller.retries import Retries
from controller.rollout import Rollout
from controller.runs import Sight
from controller.silence import Patience
from controller.standing import state_of
from controller.switch import VMs, gate_is_open, must_ask_for_vms
from controller.transitions import known_at_start, transitions, verdicts
from controller.upgrades import Upgrade
from controller.versions import ApiServerVersion

log = structlog.get_logger()

MAX_ROUNDS = 50
"""Rounds of one look; a decision settles within some five."""
OF_NODES = (actions.AskNode, actions.DeleteNodePreflight, actions.LabelNode, actions.WriteNodeCondition)
"""Actions of which there is one for every node."""
BATCH = 500
"""Writes of nodes in one round: then it is looked whether they are still wanted."""
REST = 0.25
"""Longest rest after a look, in seconds; a rest is as long as the look was."""


class Reconciler:
    """Keeps the cluster as the VMRuntime wants it.

    Args:
        client: Calls to the API server.
        observed: Caches.
        effects: Does actions.
        rollout: The agents' DaemonSet.
        api_server_version: The API server's version.
        metrics: What is counted.
        namespace: The namespace of the checks and the agents.
        wake: Set when something changed or the loop is to end.
        patience: How long nodes are waited for.
        now: The time of day.
        backoff: Delays after failures of one action.
        new_id: Makes the unique part of a check's name.
    """

    def __init__(
        self,
        client: Client,
        *,
        observed: Observed,
        effects: Effects,
        rollout: Rollout,
        api_server_version: ApiServerVersion,
        metrics: Metrics,
        namespace: str,
        wake: threading.Event,
        patience: Patience | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        backoff: Backoff | None = None,
        new_id: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self._client = client
        self._observed = observed
        self._effects = effects
        self._rollout = rollout
        self._api_server_version = api_server_version
        self._metrics = metrics
        self._namespace = namespace
        self._patience = patience or Patience()
        self._now = now
        self._fanout = Fanout(effects.do, client)
        self._retries = Retries(
            backoff or Backoff(base=0.2, cap=30.0, random=random.random), now, metrics.failed
        )
        self._new_id = new_id
        self._wake = wake
        self._unserved_since: datetime | None = None
        self._upgrade: Upgrade | None = None
        self._sight: Sight | None = None
        self._blind_at: datetime | None = None
        self._some_vms: tuple[datetime, str] | None = None
        self._written: dict[str, datetime] = {}
        self._verdicts: dict[str, bool] | None = None

    def run(self, stop: threading.Event) -> None:
        """Looks until stopped; the caches must have been filled. Whoever sets ``stop`` wakes the loop too."""
        while not stop.is_set():
            self._wake.clear()
            began = time.monotonic()
            until = self._look_guarded(stop)
            if not stop.wait(min(time.monotonic() - began, REST)):
                self._wake.wait(max((until - self._now()).total_seconds(), 0.0))

    def interrupt(self) -> None:
        """Cuts off writes that other threads than the loop's have under way; from another thread."""
        self._fanout.interrupt()

    def _look_guarded(self, stop: threading.Event) -> datetime:
        """Looks; an error of ours is logged and the look repeated later, since ending would help nobody."""
        try:
            return self.look(stop)
        except Exception:
            log.exception("looking failed")
            self._metrics.failed("Look")
            return self._now() + self._patience.idle

    def look(self, stop: threading.Event) -> datetime:
        """Looks and acts until nothing is left to be done now.

        Returns:
            When to look again though nothing changed.
        """
        until = self._now() + self._patience.idle
        for _ in range(MAX_ROUNDS):
            world = self.world()
            decision = decide(world)
            self._note(world, decision)
            until = decision.look_again or until
            if stop.is_set() or not self._act(decision.actions, stop):
                break
        else:
            log.warning("not settled after many rounds", rounds=MAX_ROUNDS)
        self._effects.tell()
        return min(until, self._now() + self._patience.idle, *self._retries.due())

    def world(self) -> World:
        """Puts together what is known now."""
        runtime = self._observed.runtimes.items().get(VM_RUNTIME_NAME)
        daemon_set = next(iter(self._observed.daemon_sets.items().values()), None)
        found, told = self._virtual_machines(runtime)
        checks = tuple(self._observed.checks.items().values())
        there = {one.meta.uid for one in checks} | {runtime.meta.uid if runtime else ""}
        self._written = {uid: at for uid, at in self._written.items() if uid in there}
        current = runs.current(checks)
        return World(
            now=self._now(),
            runtime=runtime,
            checks=checks,
            nodes=self._observed.nodes.items(),
            preflights=self._observed.preflights.items(),
            pods=self._observed.pods(),
            api_server_version=self._api_server_version.look(changed=self._upgrade is not None),
            upgrade=self._upgrade,
            sight=self._sight_now(),
            daemon_set=daemon_set,
            manifest=self._rollout.look(daemon_set),
            vms=found,
            vms_told=told,
            unserved_since=self._unserved_since,
            check_written=self._written.get(current.meta.uid) if current else None,
            runtime_written=self._written.get(runtime.meta.uid) if runtime else None,
            new_name=f"vmruntime-preflight-check-{self._new_id()}",
            namespace=self._namespace,
            patience=self._patience,
        )

    def _sight_now(self) -> Sight | None:
        """Since when the running check is in sight, without the time since a look that saw no answers."""
        sight, now = self._sight, self._now()
        if sight is not None and self._blind_at is not None:
            sight = Sight(sight.run, sight.since + max(now - self._blind_at, timedelta()))
        self._blind_at = now if self._observed.blind else None
        return sight

    def _virtual_machines(self, runtime: Runtime | None) -> tuple[VMs, str]:
        """Looks for virtual machines where they matter; that some are left is not asked again at once."""
        if runtime is None or not must_ask_for_vms(runtime):
            self._some_vms = None
            return VMs.UNKNOWN, ""
        if self._some_vms is not None and self._now() - self._some_vms[0] < LOOK_AGAIN_FOR_VMS:
            return VMs.SOME, self._some_vms[1]
        found, told = vms.look(self._client)
        self._some_vms = (self._now(), told) if found is VMs.SOME else None
        return found, told

    def _act(self, todo: Iterable[Action], stop: threading.Event) -> bool:
        """Does what is due; returns whether anything was written, so that looking again makes sense."""
        wrote = False
        for _, group in itertools.groupby(todo, key=_group):
            due = [action for action in group if not self._retries.held(action)]
            done = self._fanout.run(due[:BATCH], stop) if due else []
            wrote = wrote or len(due) > BATCH
            for action, outcome in done:
                if isinstance(outcome, ApiError):
                    self._retries.failed(action, outcome)
                    continue
                self._retries.succeeded(action)
                wrote = wrote or outcome
                if outcome:
                    self._note_write(action)
            if stop.is_set() or any(isinstance(one, ApiError) and server_is_away(one) for _, one in done):
                return False
        return wrote

    def _note_write(self, action: Action) -> None:
        if isinstance(action, actions.WriteCheckStatus):
            self._written[action.check.meta.uid] = self._now()
        elif isinstance(action, actions.WriteRuntimeStatus):
            self._written[action.runtime.meta.uid] = self._now()

    def _note(self, world: World, decision: Decision) -> None:
        """Keeps what the next look needs, and what people and Prometheus see."""
        self._unserved_since = (self._unserved_since or world.now) if decision.unserved else None
        self._upgrade = decision.upgrade
        self._sight = decision.sight
        self._metrics.states(
            state_of(world.preflights.get(name), skipped=node.skipped)
            for name, node in decision.serving.items()
        )
        runtime = world.runtime
        if runtime is not None:
            last = summary.recorded(runtime.status)
            self._metrics.gate(is_open=gate_is_open(runtime, passed=last is not None and last.passed))
        preflights, nodes = world.preflights.values(), world.nodes.values()
        before = known_at_start(preflights, nodes) if self._verdicts is None else self._verdicts
        for preflight, news in transitions(before, preflights):
            self._effects.tell_of_node(preflight.name, preflight.node_uid, news)
        self._verdicts = verdicts(before, preflights, {node.meta.uid for node in nodes})


def _group(action: Action) -> object:
    """What is written of different nodes goes out together; everything else one by one, in order."""
    return type(action) if isinstance(action, OF_NODES) else id(action)
