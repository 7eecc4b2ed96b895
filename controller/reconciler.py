"""The one loop: look at the caches, decide, do, and look again until nothing is left to be done.

A change of any object, or the time that a decision waits for, only says *look again*. One thread does it all.
An action that fails is tried again later by itself and does not hold up the others; a server that does not
answer ends the look.
"""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog

from cluster.backoff import Backoff
from cluster.transport import ApiError, Client
from controller import actions, summary
from controller.actions import Action
from controller.decide import decide
from controller.effects import Effects
from controller.fanout import Fanout, server_is_away
from controller.lookout import Lookout
from controller.metrics import Metrics
from controller.news import News
from controller.observe import Observed
from controller.retries import Retries
from controller.silence import Patience
from controller.standing import state_of
from controller.switch import gate_is_open
from controller.transitions import known_at_start, transitions, verdicts
from controller.world import Decision, World

log = structlog.get_logger()

MAX_ROUNDS = 50
"""Rounds of one look; a decision settles within some five."""
MARKS = (actions.LabelNode, actions.WriteNodeCondition)
"""What nodes show to others; the cluster's own objects and the gate come first."""
OF_NODES = (actions.AskNode, actions.DeleteNodePreflight, *MARKS)
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
        lookout: Tells what is known.
        observed: Caches.
        effects: Does actions.
        news: What people are told of.
        metrics: What is counted.
        wake: Set when something changed or the loop is to end.
        patience: How long nodes are waited for.
        now: The time of day.
    """

    def __init__(
        self,
        client: Client,
        *,
        lookout: Lookout,
        observed: Observed,
        effects: Effects,
        news: News,
        metrics: Metrics,
        wake: threading.Event,
        patience: Patience,
        now: Callable[[], datetime],
    ) -> None:
        self._lookout = lookout
        self._observed = observed
        self._news = news
        self._metrics = metrics
        self._patience = patience
        self._now = now
        self._fanout = Fanout(effects.do, client)
        self._retries = Retries(
            Backoff(base=0.2, cap=30.0, random=random.random), time.monotonic, metrics.failed
        )
        self._wake = wake
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
            world = self._lookout.world()
            decision = decide(world)
            self._lookout.decided(decision)
            self._publish(world, decision)
            self._retries.wanted(decision.actions)
            until = decision.look_again or until
            todo = decision.actions
            if not decision.failing <= confirmed:
                if self._confirm():
                    confirmed = decision.failing
                    continue
                todo = tuple(action for action in todo if not _is_verdict(action))
                until = self._now() + ASK_AGAIN
            if stop.is_set() or not self._act(todo, stop):
                break
        else:
            log.warning("not settled after many rounds", rounds=MAX_ROUNDS)
        if self._news.tell(stop):
            until = self._now()
        due = [self._now() + timedelta(seconds=seconds) for seconds in self._retries.due()]
        return min(until, self._now() + self._patience.idle, *due)

    def _confirm(self) -> bool:
        """Asks once more before nodes fail a check; returns whether there was an answer.

        A watch whose connection was cut can be silent for a minute and a half: it is left to none whether a
        node has answered, is still there and not skipped, and what its pod does.
        """
        try:
            self._observed.refresh()
        except ApiError as error:
            log.warning("no node fails unasked", error=str(error))
            self._metrics.failed("NodePreflight")
            return False
        return True

    def _act(self, todo: Iterable[Action], stop: threading.Event) -> bool:
        """Does what is due; returns whether anything was written, so that looking again makes sense."""
        wrote = False
        for kind, group in itertools.groupby(todo, key=_group):
            if wrote and kind in MARKS:
                break
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
                    self._lookout.wrote(action)
            if stop.is_set() or any(isinstance(one, ApiError) and server_is_away(one) for _, one in done):
                return False
        return wrote

    def _publish(self, world: World, decision: Decision) -> None:
        """Shows to Prometheus how things stand, and tells which nodes' verdicts have changed."""
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
            self._news.add_of_node(preflight.name, preflight.node_uid, news)
        self._verdicts = verdicts(before, preflights, {node.meta.uid for node in nodes})


def _is_verdict(action: Action) -> bool:
    return isinstance(action, actions.WriteCheckStatus) and "pass" in action.status


def _group(action: Action) -> object:
    """What is written of different nodes goes out together; everything else one by one, in order."""
    return type(action) if isinstance(action, OF_NODES) else id(action)
