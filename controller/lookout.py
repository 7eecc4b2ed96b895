"""Puts together what the controller knows when it looks, and remembers what only this process can know.

What is remembered is about the process itself: since when it has seen something, what it wrote last, what it
asked last. All of it may be lost: whoever begins anew waits anew.
"""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from cluster.resources import VM_RUNTIME_NAME
from cluster.transport import Client
from controller import actions, runs, vms
from controller.actions import Action
from controller.decide import LOOK_AGAIN_FOR_VMS
from controller.moments import Moments
from controller.objects import Check, Runtime
from controller.observe import Observed
from controller.rollout import Rollout
from controller.runs import Sight
from controller.silence import Patience
from controller.switch import VMs, must_ask_for_vms
from controller.upgrades import Upgrade
from controller.versions import ApiServerVersion
from controller.world import Decision, World

_WRITTEN, _UNSERVED, _VMS, _SIGHT, _BLIND = "written ", "unserved", "virtual machines", "sight", "blind"
"""Names of moments; of the first an object's unique id follows."""


class Lookout:
    """Looks at the caches, the agents' manifest, the API server's version and the virtual machines.

    Args:
        client: Calls to the API server.
        observed: Caches.
        rollout: The agents' DaemonSet.
        api_server_version: The API server's version.
        namespace: The namespace of the checks and the agents.
        patience: How long nodes are waited for.
        now: The time of day.
    """

    def __init__(
        self,
        client: Client,
        *,
        observed: Observed,
        rollout: Rollout,
        api_server_version: ApiServerVersion,
        namespace: str,
        patience: Patience,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._observed = observed
        self._rollout = rollout
        self._api_server_version = api_server_version
        self._namespace = namespace
        self._patience = patience
        self._now = now
        self._moments = Moments(now)
        self._upgrade: Upgrade | None = None
        self._sight: Sight | None = None
        self._unseen = timedelta()
        self._some_vms = ""

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
            new_name=f"vmruntime-preflight-check-{uuid.uuid4()}",
            namespace=self._namespace,
            patience=self._patience,
        )

    def decided(self, decision: Decision) -> None:
        """Remembers of a decision what the next look needs."""
        if decision.unserved:
            self._moments.first(_UNSERVED)
        else:
            self._moments.forget(_UNSERVED)
        self._upgrade = decision.upgrade
        self._look_at(decision.sight)

    def wrote(self, action: Action) -> None:
        """Remembers that an action was carried out."""
        if isinstance(action, actions.WriteCheckStatus):
            self._moments.note(f"{_WRITTEN}{action.check.meta.uid}")
        elif isinstance(action, actions.WriteRuntimeStatus):
            self._moments.note(f"{_WRITTEN}{action.runtime.meta.uid}")

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
