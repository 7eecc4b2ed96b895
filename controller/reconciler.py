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
from controller.decide import LOOK_AGAIN_FOR_VMS, decide
from controller.effects import Effects
from controller.fanout import Fanout, server_is_away
from controller.metrics import Metrics
from controller.moments import Moments
from controller.objects import Check, Runtime
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
from controller.world import Decision, World

log = structlog.get_logger()

MAX_ROUNDS = 50
"""Rounds of one look; a decision settles within some five."""
OF_NODES = (actions.AskNode, actions.DeleteNodePreflight, actions.LabelNode, actions.WriteNodeCondition)
"""Actions of which there is one for every node."""
BATCH = 500
"""Writes of nodes in one round: then it is looked whether they are still wanted."""
ASK_AGAIN = timedelta(seconds=1)
"""After a question that was not answered and that a verdict turns on."""
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
        clock: Monotonic seconds.
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
        clock: Callable[[], float] = time.monotonic,
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
            backoff or Backoff(base=0.2, cap=30.0, random=random.random), clock, metrics.failed
        )
        self._new_id = new_id
        self._wake = wake
        self._moments = Moments(now, clock)
        self._upgrade: Upgrade | None = None
        self._sight: Sight | None = None
        self._unseen = timedelta()
        self._some_vms = ""
        self._verdicts: dict[str, bool] | None = None

    def run(self, stop: threading.Event) -> None:
        """Looks until stopped; the caches must have been filled. Whoever sets ``stop`` wakes the loop too."""
        while not stop.is_set():
            self._wake.clear()
            began = time.monotonic()
            until = self._look_guarded(stop)
            if not stop.wait(min(time.monotonic() - began, REST)):
                # bounded: the clock may have been set meanwhile
                pause = min(until - self._now(), self._patience.idle)
                self._wake.wait(max(pause.total_seconds(), 0.0))

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
        confirmed: frozenset[str] = frozenset()
        for _ in range(MAX_ROUNDS):
            world = self.world()
            decision = decide(world)
            self._note(world, decision)
            self._retries.wanted(decision.actions)
            until = decision.look_again or until
            if not decision.given_up <= confirmed:
                if not self._confirm():
                    until = self._now() + ASK_AGAIN
                    break
                confirmed = decision.given_up
                continue
            if stop.is_set() or not self._act(decision.actions, stop):
                break
        else:
            log.warning("not settled after many rounds", rounds=MAX_ROUNDS)
        self._effects.tell()
        due = [self._now() + timedelta(seconds=seconds) for seconds in self._retries.due()]
        return min(until, self._now() + self._patience.idle, *due)

    def world(self) -> World:
        """Puts together what is known now."""
        runtime = self._observed.runtimes.items().get(VM_RUNTIME_NAME)
        daemon_set = next(iter(self._observed.daemon_sets.items().values()), None)
        found, told = self._virtual_machines(runtime)
        checks = tuple(self._observed.checks.items().values())
        current = runs.current(checks)
        moments = self._moments
        self._forget(runtime, current)
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
            unserved_since=moments.get(_UNSERVED),
            check_written=moments.get(f"{_WRITTEN}{current.meta.uid}") if current else None,
            runtime_written=moments.get(f"{_WRITTEN}{runtime.meta.uid}") if runtime else None,
            new_name=f"vmruntime-preflight-check-{self._new_id()}",
            namespace=self._namespace,
            patience=self._patience,
        )

    def _sight_now(self) -> Sight | None:
        """Since when the running check is in sight, without the time since a look that saw no answers."""
        blind = self._moments.get(_BLIND)
        self._moments.forget(_BLIND)
        if blind is not None:
            self._unseen += self._now() - blind
        if self._observed.blind:
            self._moments.note(_BLIND)
        return self._sight and Sight(self._sight.run, self._moments.first(_SIGHT) + self._unseen)

    def _look_at(self, sight: Sight | None) -> None:
        """Counts from now on for how long another check is in sight."""
        if sight is None or self._sight is None or sight.run != self._sight.run:
            self._moments.note(_SIGHT)
            self._unseen = timedelta()
        self._sight = sight

    def _forget(self, runtime: Runtime | None, current: Check | None) -> None:
        """Forgets when statuses were written that nobody asks for any more."""
        written = {f"{_WRITTEN}{one.meta.uid}" for one in (runtime, current) if one is not None}
        self._moments.forget_all_but({*written, _UNSERVED, _VMS, _SIGHT, _BLIND})

    def _confirm(self) -> bool:
        """Asks once more before nodes are given up; returns whether there was an answer.

        A watch whose connection was cut can be silent for a minute and a half: a verdict is not left to it.
        """
        try:
            self._observed.refresh_preflights()
        except ApiError as error:
            log.warning("nodes are not given up unasked", error=str(error))
            self._metrics.failed("NodePreflight")
            return False
        return True

    def _virtual_machines(self, runtime: Runtime | None) -> tuple[VMs, str]:
        """Looks for virtual machines where they matter; that some are left is not asked again at once."""
        if runtime is None or not must_ask_for_vms(runtime):
            self._some_vms = ""
            return VMs.UNKNOWN, ""
        asked = self._moments.get(_VMS)
        if self._some_vms and asked is not None and self._now() - asked < LOOK_AGAIN_FOR_VMS:
            return VMs.SOME, self._some_vms
        found, told = vms.look(self._client)
        self._moments.note(_VMS)
        self._some_vms = told if found is VMs.SOME else ""
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
            self._moments.note(f"{_WRITTEN}{action.check.meta.uid}")
        elif isinstance(action, actions.WriteRuntimeStatus):
            self._moments.note(f"{_WRITTEN}{action.runtime.meta.uid}")

    def _note(self, world: World, decision: Decision) -> None:
        """Keeps what the next look needs, and what people and Prometheus see."""
        if decision.unserved:
            self._moments.first(_UNSERVED)
        else:
            self._moments.forget(_UNSERVED)
        self._upgrade = decision.upgrade
        self._look_at(decision.sight)
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


_WRITTEN, _UNSERVED, _VMS, _SIGHT, _BLIND = "written ", "unserved", "virtual machines", "sight", "blind"
"""Names of moments; of the first an object's unique id follows."""


def _group(action: Action) -> object:
    """What is written of different nodes goes out together; everything else one by one, in order."""
    return type(action) if isinstance(action, OF_NODES) else id(action)
