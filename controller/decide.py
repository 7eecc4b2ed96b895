"""One look at the cluster, and what is to be done: the controller's whole decision as a pure function.

Every action follows from what the API server holds, never from another action of the same look: so they can
be done in any order, any of them can fail or be lost with the process, and looking again gives what is left.
A look that finds everything as it should be returns no action.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from cluster.shapes import flag, text
from controller import actions, agents, node_marks, ready, retention, runs, triggers, upgrades
from controller.actions import Action
from controller.conditions import without_messages
from controller.objects import Memory, Runtime, condition
from controller.participation import those_that_fit
from controller.status import AGENTS_ROLLED_OUT, Rollout, status
from controller.switch import must_ask_for_vms, position
from controller.triggers import trigger_of
from controller.turns import Turns
from controller.upgrades import Upgrade
from controller.world import Decision, World

ONE_SECOND = timedelta(seconds=1)
"""Resolution of a creationTimestamp: of two checks of one second the latest is told by name
(`Check.age_key`), which a name drawn at random would leave to chance."""
LOOK_AGAIN_FOR_VMS = timedelta(seconds=3)
"""How often virtual machines are looked for while they keep the runtime from being switched off."""


def decide(world: World) -> Decision:
    """Looks at the world and decides what is to be done."""
    if world.runtime is None:
        return Decision((actions.CreateRuntime(),))
    return _Look(world, world.runtime).decision()


class _Look:
    """One look; everything that several steps need is worked out once."""

    def __init__(self, world: World, runtime: Runtime) -> None:
        self.world = world
        self.runtime = runtime
        self.memory = runtime.memory
        self.position = position(runtime, world.vms, world.vms_told)
        template = world.daemon_set.template if world.daemon_set else world.manifest.template
        self.serving = those_that_fit(template, world.nodes.values())
        self.taking_part = {name: node for name, node in self.serving.items() if not node.skipped}
        self.current = runs.current(world.checks)
        self.in_run = runs.participants(self.current, self.serving) if self.current else {}
        self.sight = runs.sight(world.sight, self.current, world.now)
        self.turns = Turns(world, runtime, self.serving, self.current, self.sight)
        self.deadlines: list[datetime] = []
        self.failing: frozenset[str] = frozenset()
        self.watched = self.position.in_force and self.memory.enabled
        self.covered = triggers.is_about_to_start(self.memory, world.checks)
        self.upgrade = self._upgrade()
        self.after = self._memory_after()

    def decision(self) -> Decision:
        """Decides on every object."""
        rollout = self._rollout()
        todo = (
            *self._check_statuses(),
            *self._runtime_status(rollout),
            *self._new_check(),
            *self._daemon_set(rollout),
            *self._node_preflights(rollout),
            *self._node_marks(),
            *(
                actions.DeleteCheck(check)
                for check in retention.expired(self.world.checks, self.runtime.status)
            ),
        )
        if must_ask_for_vms(self.runtime) and self.position.in_force:
            self.deadlines.append(self.world.now + LOOK_AGAIN_FOR_VMS)
        return Decision(
            todo,
            look_again=min(self.deadlines, default=None),
            unserved=bool(rollout.missing),
            upgrade=self.upgrade,
            sight=self.sight,
            serving=self.serving,
            failing=self.failing,
        )

    def _upgrade(self) -> Upgrade | None:
        """The upgrade that is waited for, until it is quiet."""
        if not self.watched or self.covered:
            return None
        found = upgrades.changes(
            self.memory,
            self.world.api_server_version,
            self.serving.values(),
            self.world.preflights,
            running=self.current,
            taking_part=self.in_run,
        )
        return upgrades.seen(self.world.upgrade, found, self.world.now)

    def _memory_after(self) -> Memory:
        nodes = tuple(self.world.nodes.values())
        in_force = self.position.in_force
        upgraded = False
        if self.upgrade is not None:
            due = self.upgrade.due(self.world.patience)
            upgraded = due <= self.world.now
            if not upgraded:
                self.deadlines.append(due)
        fired = triggers.fired(
            self.memory,
            enabled=self.runtime.enabled,
            in_force=in_force,
            features=self.runtime.features,
            nodes=nodes,
            upgraded=upgraded,
        )
        after = triggers.remember(
            self.memory,
            enabled=self.runtime.enabled,
            in_force=in_force,
            generation=self.runtime.meta.generation,
            features=self.runtime.features,
            nodes=nodes,
        )
        pending = triggers.pending(
            fired, self.memory, self.world.checks, in_force=in_force, new_name=self.world.new_name
        )
        acted_on = self.memory.api_server_version
        if not acted_on or not self.watched or self.covered or pending is not None:
            acted_on = self.world.api_server_version or acted_on
        return replace(after, pending=pending, api_server_version=acted_on)

    def _rollout(self) -> Rollout:
        world = self.world
        unfinished = any(not check.finished for check in world.checks)
        wanted = (
            self.runtime.enabled or self.position.in_force or self.memory.pending is not None or unfinished
        )
        reports = {
            name: preflight.status.completion_time
            for name, preflight in world.preflights.items()
            if preflight.status is not None and preflight.status.completion_time is not None
        }
        missing = ready.unserved(self.taking_part, world.pods, reports, world.now) if wanted else ()
        said = condition({"status": self.runtime.status}, AGENTS_ROLLED_OUT)
        was = text(said, "status") == "True" or flag(self.runtime.status, "ready")
        rolled_out = wanted and ready.agents_count_as_rolled_out(
            missing, world.unserved_since or world.now, was=was, now=world.now
        )
        if missing and rolled_out:
            self.deadlines.append((world.unserved_since or world.now) + ready.DEBOUNCE)
        return Rollout(
            wanted,
            rolled_out,
            missing,
            trouble=ready.explain(missing, world.pods, world.namespace),
            manifest_trouble=world.manifest.trouble,
            apply_trouble=world.manifest.apply_trouble,
        )

    def _runtime_status(self, rollout: Rollout) -> Iterator[Action]:
        """The VMRuntime's status; a runtime is switched on only when every check that was there is marked so.

        News is written at once, another wording only now and then.
        """
        switched_on = self.after.enabled and not self.memory.enabled
        if switched_on and any(not check.seen and not check.finished for check in self.world.checks):
            return
        wanted = status(self.runtime, self.after, self.position, rollout, self.world.checks, self.world.now)
        if wanted == self.runtime.status:
            return
        written = self.world.runtime_written
        if written is not None and without_messages(wanted) == without_messages(self.runtime.status):
            due = written + self.world.patience.progress
            if self.world.now < due:
                self.deadlines.append(due)
                return
        yield actions.WriteRuntimeStatus(self.runtime, wanted)

    def _new_check(self) -> Iterator[Action]:
        pending = triggers.to_create(self.memory, self.world.checks)
        if pending is None or not self.position.in_force:
            return
        newest = max((check.meta.created for check in self.world.checks if check.meta.created), default=None)
        if newest is not None and newest <= self.world.now < newest + ONE_SECOND:
            self.deadlines.append(newest + ONE_SECOND)
            return
        yield actions.CreateCheck(pending.name, pending.trigger)

    def _check_statuses(self) -> Iterator[Action]:
        """Unfinished checks take their turns; each check says what it was made by."""
        for check in self.world.checks:
            if not check.finished:
                turn = self.turns.of(check)
                self.deadlines += turn.deadlines
                self.failing |= turn.failing
                yield from turn.actions
            if check.trigger != trigger_of(check):
                # last: a status that was decided from the version before it would be a conflict
                yield actions.NoteTrigger(check, trigger_of(check).value)

    def _daemon_set(self, rollout: Rollout) -> Iterator[Action]:
        there = self.world.daemon_set
        if there is not None and there.deleting:
            return
        if rollout.wanted and not self.world.manifest.trouble and not self.world.manifest.applied:
            yield actions.ApplyAgents()
        elif not rollout.wanted and there is not None:
            yield actions.DeleteAgents(there)

    def _node_preflights(self, rollout: Rollout) -> Iterator[Action]:
        """What agents are asked; where a check is about to start, in one write with its run.

        Nobody is asked under features that are not noted yet: noting them fails where they were changed back
        meanwhile, and that would ask for no check.
        """
        serving = self.serving if rollout.wanted else {}
        yield from agents.orphans(self.world.preflights.values(), serving)
        current = self.current
        about_to_start = current is not None and not current.running
        about_to_be_made = self.after.pending is not None and current is None
        features_are_news = self.after.features != self.memory.features
        if about_to_be_made or about_to_start or features_are_news or not rollout.wanted:
            return
        yield from agents.questions(
            serving,
            self.world.preflights,
            self.world.pods,
            features=self.runtime.features,
            running=current,
            taking_part=self.in_run,
            watched=self.watched,
            since=self.sight.since if self.sight is not None else None,
            patience=self.world.patience,
        )

    def _node_marks(self) -> Iterator[Action]:
        """What nodes show to others, while the runtime is in force."""
        in_force = self.position.in_force
        published = node_marks.Published(
            condition=in_force and self.runtime.node_condition, label=in_force and self.runtime.node_label
        )
        nodes = self.world.nodes.values()
        return node_marks.marks(published, nodes, self.serving, self.world.preflights, self.world.now)
