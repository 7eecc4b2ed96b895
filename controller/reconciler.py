"""The one loop: look at the caches, decide, do, and look again until nothing is left to be done.

A change of any object, or the time that a decision waits for, only says *look again*. One thread does it all.
An action that fails is tried again later by itself and does not hold up the others; a server that does not
answer ends the look.
"""

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
from controller.actions import Action, Announcement
from controller.decide import LOOK_AGAIN_FOR_VMS, Decision, World, decide
from controller.effects import Effects
from controller.metrics import Metrics, state_of
from controller.objects import Runtime
from controller.observe import Observed
from controller.participation import those_that_fit
from controller.rollout import Rollout
from controller.silence import Patience
from controller.switch import VMs, must_ask_for_vms

log = structlog.get_logger()

MAX_ROUNDS = 50
"""Rounds of one look; a decision settles within some five."""
IDLE = timedelta(seconds=10)
"""Longest time between two looks: the manifest is a file, and nobody tells when it changes."""
REST = 0.25
"""Longest rest after a look, in seconds; a rest is as long as the look was."""


class Reconciler:
    """Keeps the cluster as the VMRuntime wants it.

    Args:
        client: Calls to the API server.
        observed: Caches.
        effects: Does actions.
        rollout: The agents' DaemonSet.
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
        self._metrics = metrics
        self._namespace = namespace
        self._patience = patience or Patience()
        self._now = now
        self._backoff = backoff or Backoff(base=0.2, cap=30.0, random=random.random)
        self._new_id = new_id
        self._wake = wake
        self._unserved_since: datetime | None = None
        self._some_vms: datetime | None = None
        self._written: dict[str, datetime] = {}
        self._failures: dict[str, tuple[int, datetime]] = {}
        self._verdicts: dict[str, bool | None] = {}

    def run(self, stop: threading.Event) -> None:
        """Looks until stopped; the caches must have been filled. Whoever sets ``stop`` wakes the loop too."""
        while not stop.is_set():
            self._wake.clear()
            began = time.monotonic()
            until = self._look_guarded(stop)
            if not stop.wait(min(time.monotonic() - began, REST)):
                self._wake.wait(max((until - self._now()).total_seconds(), 0.0))

    def _look_guarded(self, stop: threading.Event) -> datetime:
        """Looks; an error of ours is logged and the look repeated later, since ending would help nobody."""
        try:
            return self.look(stop)
        except Exception:
            log.exception("looking failed")
            self._metrics.failed("Look")
            return self._now() + timedelta(seconds=self._backoff.delay(5))

    def look(self, stop: threading.Event) -> datetime:
        """Looks and acts until nothing is left to be done now.

        Returns:
            When to look again though nothing changed.
        """
        until = self._now() + IDLE
        for _ in range(MAX_ROUNDS):
            world = self.world()
            decision = decide(world)
            self._note(world, decision)
            until = min(decision.look_again or until, self._now() + IDLE, *self._retries())
            if stop.is_set() or not self._act(decision.actions, stop):
                break
        else:
            log.warning("not settled after many rounds", rounds=MAX_ROUNDS)
        self._effects.tell()
        return min(until, *self._retries(), self._now() + IDLE)

    def world(self) -> World:
        """Puts together what is known now."""
        runtime = self._observed.runtimes.items().get(VM_RUNTIME_NAME)
        daemon_set = next(iter(self._observed.daemon_sets.items().values()), None)
        found, trouble = self._virtual_machines(runtime)
        checks = tuple(self._observed.checks.items().values())
        there = {one.meta.uid for one in checks} | {runtime.meta.uid if runtime else ""}
        self._written = {uid: at for uid, at in self._written.items() if uid in there}
        current = runs.current(checks)
        return World(
            now=self._now(),
            runtime=runtime,
            checks=checks,
            nodes=self._observed.nodes(),
            preflights=self._observed.preflights.items(),
            pods=self._observed.pods(),
            daemon_set=daemon_set,
            manifest=self._rollout.look(daemon_set),
            vms=found,
            vms_trouble=trouble,
            unserved_since=self._unserved_since,
            check_written=self._written.get(current.meta.uid) if current else None,
            runtime_written=self._written.get(runtime.meta.uid) if runtime else None,
            new_name=f"vmruntime-preflight-check-{self._new_id()}",
            namespace=self._namespace,
            patience=self._patience,
        )

    def _virtual_machines(self, runtime: Runtime | None) -> tuple[VMs, str]:
        """Looks for virtual machines where they matter; that some are left is not asked again at once."""
        if runtime is None or not must_ask_for_vms(runtime):
            self._some_vms = None
            return VMs.UNKNOWN, ""
        if self._some_vms is not None and self._now() - self._some_vms < LOOK_AGAIN_FOR_VMS:
            return VMs.SOME, ""
        found, trouble = vms.look(self._client)
        self._some_vms = self._now() if found is VMs.SOME else None
        return found, trouble

    def _act(self, todo: Iterable[Action], stop: threading.Event) -> bool:
        """Does what is due; returns whether anything was written, so that looking again makes sense."""
        wrote = False
        for action in todo:
            if stop.is_set():
                return False
            key = _key(action)
            failures, not_before = self._failures.get(key, (0, self._now()))
            if failures and self._now() < not_before:
                continue
            try:
                done = self._effects.do(action)
            except ApiError as error:
                self._failed(key, failures + 1, error)
                if error.status == 0 or error.status == 429 or error.status >= 500:
                    return False
                continue
            self._failures.pop(key, None)
            wrote = wrote or done
            if done and isinstance(action, actions.WriteCheckStatus):
                self._written[action.check.meta.uid] = self._now()
            elif done and isinstance(action, actions.WriteRuntimeStatus):
                self._written[action.runtime.meta.uid] = self._now()
        return wrote

    def _failed(self, key: str, failures: int, error: ApiError) -> None:
        """Holds an action back for a while; a conflict only says that we looked too early."""
        delay = self._backoff.delay(1 if error.conflict else failures, error.retry_after)
        self._failures[key] = (failures, self._now() + timedelta(seconds=delay))
        if error.conflict:
            log.debug("looked too early", action=key, error=str(error))
        else:
            log.warning("failed", action=key, error=str(error), again_in_seconds=round(delay, 1))
            self._metrics.failed(key.partition(" ")[0])

    def _retries(self) -> list[datetime]:
        """When actions that failed are due again; what is long due was given up and is forgotten."""
        now = self._now()
        for key, (_, due) in list(self._failures.items()):
            if now - due > timedelta(minutes=5):
                del self._failures[key]
        return [due for _, due in self._failures.values() if due > now] or [now + IDLE]

    def _note(self, world: World, decision: Decision) -> None:
        """Keeps what the next look needs, and what people and Prometheus see."""
        self._unserved_since = (self._unserved_since or world.now) if decision.unserved else None
        template = world.daemon_set.template if world.daemon_set else world.manifest.template
        serving = those_that_fit(template, world.nodes.values())
        self._metrics.states(
            state_of(world.preflights.get(name), skipped=node.skipped) for name, node in serving.items()
        )
        runtime = world.runtime
        if runtime is not None:
            last = summary.recorded(runtime.status)
            gated = runtime.enabled or runtime.memory.enabled
            self._metrics.gate(is_open=not gated or (runtime.enabled and last is not None and last.passed))
        self._note_verdicts(world)

    def _note_verdicts(self, world: World) -> None:
        """Tells of nodes whose verdict changed since the last look of this process."""
        now = {
            preflight.node_uid: preflight.status.passed if preflight.status else None
            for preflight in world.preflights.values()
        }
        for preflight in world.preflights.values():
            passed, before = now[preflight.node_uid], self._verdicts.get(preflight.node_uid)
            if preflight.node_uid not in self._verdicts or passed is None or passed == before:
                continue
            if passed and before is None:
                continue
            self._effects.tell_of_node(
                preflight.name, preflight.node_uid, _news(preflight.name, passed=passed)
            )
        self._verdicts = now


def _news(name: str, *, passed: bool) -> Announcement:
    if passed:
        return Announcement("Normal", "NodeReadyForVMs", "every preflight check lets the node pass again")
    return Announcement(
        "Warning",
        "NodeNotReadyForVMs",
        f"a preflight check fails the node; see kubectl get nodepreflight {name} -o yaml",
    )


def _key(action: Action) -> str:
    """Names an action by the kind and name of its object; what failed before is held back under it."""
    match action:
        case actions.CreateRuntime() | actions.WriteRuntimeStatus():
            return f"VMRuntime {type(action).__name__}"
        case actions.CreateCheck(name, _):
            return f"VMRuntimePreflightCheck {type(action).__name__} {name}"
        case actions.NoteTrigger(check, _) | actions.DeleteCheck(check):
            return f"VMRuntimePreflightCheck {type(action).__name__} {check.name}"
        case actions.WriteCheckStatus(check=check):
            return f"VMRuntimePreflightCheck {type(action).__name__} {check.name}"
        case actions.AskNode(node, _):
            return f"NodePreflight {type(action).__name__} {node.name}"
        case actions.DeleteNodePreflight(preflight):
            return f"NodePreflight {type(action).__name__} {preflight.name}"
        case actions.ApplyAgents() | actions.DeleteAgents():
            return f"DaemonSet {type(action).__name__}"
