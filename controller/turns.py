"""The turn of an unfinished check: waits, starts, goes on, ends or is cancelled, and what is written of that.

Pure. Checks run one at a time; automatic ones end when the runtime is off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller import actions, runs
from controller.actions import Action, Announcement
from controller.objects import Check, Node, Runtime
from controller.runs import Progress, Sight
from controller.triggers import automatic, trigger_of
from controller.world import World


@dataclass(frozen=True, slots=True)
class Turn:
    """What comes of an unfinished check at one look.

    Attributes:
        actions: What to do now.
        deadlines: When to look again though nothing changed.
        failing: Nodes that fail in it, where it ends now.
    """

    actions: tuple[Action, ...] = ()
    deadlines: tuple[datetime, ...] = ()
    failing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Turns:
    """Decides on unfinished checks.

    Attributes:
        world: What is known.
        runtime: The VMRuntime.
        serving: The nodes that the agents serve, skipped ones too, by name.
        current: The check whose turn it is.
        sight: Since when that one is in sight, where it runs.
    """

    world: World
    runtime: Runtime
    serving: Mapping[str, Node]
    current: Check | None
    sight: Sight | None

    def of(self, check: Check) -> Turn:
        """Decides on one check that has not finished."""
        if automatic(check) and not self.runtime.memory.enabled:
            return Turn((self._cancelled(check),))
        if check is not self.current:
            queued = runs.queued_status(check, self.runtime, self.world.now)
            return Turn() if check.seen else Turn((actions.WriteCheckStatus(check, queued),))
        return self._progress(check) if check.running else Turn((self._started(check),))

    def _started(self, check: Check) -> Action:
        nodes = [name for name, node in self.serving.items() if not node.skipped]
        take_part = "1 node takes part" if len(nodes) == 1 else f"{len(nodes)} nodes take part"
        return actions.WriteCheckStatus(
            check,
            runs.started_status(check, self.runtime, nodes, self.world.now),
            announcement=Announcement(
                "Normal",
                "PreflightStarted",
                f"{check.name}: {trigger_of(check)}, {take_part}",
            ),
        )

    def _cancelled(self, check: Check) -> Action:
        so_far = self._progress_of(check)
        answers = {name: one for name, one in so_far.answers.items() if name not in so_far.given_up}
        return actions.WriteCheckStatus(
            check, runs.cancelled_status(check, self.runtime, answers, self.world.now), result="Cancelled"
        )

    def _progress(self, check: Check) -> Turn:
        """The end of a running check at once, its progress now and then."""
        so_far = self._progress_of(check)
        if not so_far.waiting:
            failing = frozenset(name for name, answer in so_far.answers.items() if not answer.passed)
            return Turn((self._finished(check, so_far),), failing=failing)
        earliest = min(so_far.waiting.values())
        due = (self.world.check_written or self._since()) + self.world.patience.progress
        if self.world.now < due:
            return Turn(deadlines=(earliest, due))
        wanted = runs.running_status(check, self.runtime, so_far, self.world.now)
        changed = (actions.WriteCheckStatus(check, wanted),) if wanted != check.status else ()
        return Turn(changed, deadlines=(earliest,))

    def _finished(self, check: Check, so_far: Progress) -> Action:
        wire, verdict = runs.finished_status(check, self.runtime, so_far.answers, self.world.now)
        result = "Passed" if verdict.passed else "Failed"
        told = Announcement(
            "Normal" if verdict.passed else "Warning",
            f"Preflight{result}",
            f"{check.name}: {verdict.message}",
        )
        return actions.WriteCheckStatus(check, wire, result, told)

    def _progress_of(self, check: Check) -> Progress:
        return runs.progress(
            check,
            runs.participants(check, self.serving),
            self.world.preflights,
            self.world.pods,
            since=self._since(),
            now=self.world.now,
            namespace=self.world.namespace,
            patience=self.world.patience,
        )

    def _since(self) -> datetime:
        """Since when the running check's nodes are waited for."""
        return self.sight.since if self.sight is not None else self.world.now
