"""The agent's loop: waits for a reason to run, has the probe run, shows and publishes what it found.

Level-based: each step looks at what is asked and what is answered now; a wake-up only says *look again*.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import structlog

from agent import decide, unanswered
from agent.decide import Situation, Trigger
from agent.metrics import AgentMetrics
from agent.page import View
from agent.unanswered import UNAVAILABLE, Origin, ProbeError
from agent.wire import MIN_SECONDS, RunRequest
from cluster.backoff import Backoff
from cluster.errors import ApiError
from cluster.node_preflight import NodePreflight
from preflight.report import MAX_RESULTS, NAME, Report

log = structlog.get_logger()


class Prober(Protocol):
    """Runs checks; `agent.link.Link` in earnest."""

    @property
    def up(self) -> bool:
        """Whether it is reachable."""

    @property
    def problem(self) -> str:
        """Why it is not."""

    def run(self, request: RunRequest) -> Report:
        """Runs the checks; raises `ProbeError` where there is no report."""


class Desk(Protocol):
    """Where requests come from and answers go: the API server, or nothing."""

    def current(self) -> NodePreflight | None:
        """Returns the request as it is now; None while it is not known yet."""

    def publish(self, report: Report, run_id: str) -> None:
        """Publishes an answer.

        Raises:
            ApiError: It is not published.
        """

    def problem(self) -> str:
        """Why requests may be missed, one line; empty where they are not."""


class Standalone:
    """No cluster: nothing is asked, nothing published."""

    def current(self) -> NodePreflight:
        """Returns a request that asks for nothing."""
        return NodePreflight(name="")

    def publish(self, report: Report, run_id: str) -> None:
        """Does nothing; metrics and page tell."""

    def problem(self) -> str:
        """Returns that nothing is missed."""
        return ""


class Clock(NamedTuple):
    """Everything that is time or chance.

    Attributes:
        now: Seconds since the epoch.
        monotonic: Seconds for measuring.
        uniform: Draws from between two numbers.
    """

    now: Callable[[], float]
    monotonic: Callable[[], float]
    uniform: Callable[[float, float], float]


class Finished(NamedTuple):
    """A run that has ended.

    Attributes:
        report: What was found.
        trigger: Why it was run.
        run_id: The requested run that it answers, empty for none.
    """

    report: Report
    trigger: Trigger
    run_id: str


class Agent:
    """The node's agent, apart from how it is reached and how it reaches others."""

    def __init__(
        self,
        *,
        where: Origin,
        prober: Prober,
        desk: Desk,
        metrics: AgentMetrics,
        clock: Clock,
        interval: float,
        retry: Backoff,
        links: tuple[str, ...] = (),
    ) -> None:
        """Prepares the agent; `run` runs it.

        Args:
            where: The node and this program.
            prober: Runs the checks.
            desk: Where requests come from and answers go.
            metrics: What is told to Prometheus.
            clock: Time and chance.
            interval: Seconds between runs that nobody asked for, before jitter.
            retry: Delays between attempts to ask the prober, and to publish.
            links: Further paths that are served beside the page.
        """
        self._where = where
        self._prober = prober
        self._desk = desk
        self._metrics = metrics
        self._clock = clock
        self._interval = interval
        self._retry = retry
        self._links = links
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._due = {Trigger.STARTUP}
        self._next_interval = self._draw_interval()
        self._object = ""
        self._last: Finished | None = None
        self._in_hand: Finished | None = None
        self._missed = False  # the last run was given up for want of the probe, which was not back then
        self._publish_failures = 0
        self._publish_at = 0.0

    def wake(self, trigger: Trigger | None = None) -> None:
        """Has the loop look again; ``trigger`` is a reason to run that it cannot see by itself."""
        with self._lock:
            if trigger is not None:
                self._due.add(trigger)
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Works until ``stop`` is set and `wake` called."""
        while not stop.is_set():
            # Cleared before looking: what changes during the step is looked at in the next.
            self._wake.clear()
            self.step(stop)
            self._wake.wait(self._pause())

    def step(self, stop: threading.Event) -> None:
        """Looks once, and does what is to be done now."""
        wish = self._desk.current()
        if wish is None:
            return
        if wish.uid != self._object:
            self._object = wish.uid
            if wish.uid:
                # A node that joins: its new object has no verdict yet.
                self.wake(Trigger.STARTUP)
        if self._missed and self._prober.up:
            self._missed = False
            self.wake(Trigger.STARTUP)
        if self._clock.monotonic() >= self._next_interval:
            self._next_interval = self._draw_interval()
            self.wake(Trigger.INTERVAL)
        self._metrics.set_skipped(skipped=wish.skip)
        if self._in_hand is not None and (not wish.uid or decide.is_obsolete(self._situation(wish))):
            log.info("answer dropped, it is not waited for any more", run=self._run_in_hand())
            self._in_hand = None
        trigger = decide.next_trigger(self._situation(wish))
        if trigger is not None:
            self._examine(trigger, wish, stop)
        if self._in_hand is not None and self._clock.monotonic() >= self._publish_at:
            self._publish(self._in_hand)

    def view(self) -> View:
        """Returns what the page shows."""
        wish, last = self._desk.current(), self._last
        return View(
            node=self._where.node,
            version=self._where.agent_version,
            skipped=wish is not None and wish.skip,
            problem=self.problem() or "",
            report=last.report if last else None,
            trigger=last.trigger if last else None,
            run_id=last.run_id if last else "",
            links=self._links,
        )

    def problem(self) -> str | None:
        """Returns why the agent is not ready, one line; None when it is."""
        if not self._prober.up:
            return self._prober.problem
        return self._desk.problem() or None

    def report(self) -> Report | None:
        """Returns the last report, None before the first."""
        return self._last.report if self._last else None

    def _situation(self, wish: NodePreflight) -> Situation:
        with self._lock:
            due = frozenset(self._due)
        return Situation(
            skip=wish.skip,
            asked=wish.run.id if wish.run else "",
            answered=wish.status.run_id if wish.status else "",
            in_hand=self._run_in_hand(),
            due=due,
        )

    def _run_in_hand(self) -> str:
        return self._in_hand.run_id if self._in_hand else ""

    def _draw_interval(self) -> float:
        return self._clock.monotonic() + self._interval * self._clock.uniform(0.9, 1.1)

    def _pause(self) -> float:
        until = self._next_interval
        if self._in_hand is not None:
            until = min(until, self._publish_at)
        return max(0.0, until - self._clock.monotonic())

    def _examine(self, trigger: Trigger, wish: NodePreflight, stop: threading.Event) -> None:
        with self._lock:
            # Whatever happens from here on calls for another run.
            due, self._due = self._due, set()
        run_id = wish.run.id if wish.run and trigger is Trigger.REQUESTED else ""
        begun = self._clock.monotonic()
        report = self._ask(trigger, wish, stop)
        # Asking may have taken a wake-up that was not about it: look again before sleeping.
        self._wake.set()
        if report is None:
            with self._lock:
                self._due |= due
            return
        seconds = self._clock.monotonic() - begun
        finished = Finished(report._replace(node=self._where.node), trigger, run_id)
        self._last = finished
        self._next_interval = self._draw_interval()
        self._metrics.observe(finished.report, trigger, seconds=seconds, finished=self._clock.now())
        failed = {result.check_name: result.reason for result in report.results if not result.passed}
        log.info("run finished", trigger=trigger.value, run=run_id, passed=report.passed, failed=failed)
        now = self._desk.current() or wish
        published = decide.published_verdict(now.status)
        must = decide.must_publish(trigger, decide.verdict_of(finished.report), published)
        self._in_hand = finished if must and now.uid else None
        self._publish_at, self._publish_failures = begun, 0

    def _ask(self, trigger: Trigger, wish: NodePreflight, stop: threading.Event) -> Report | None:
        """Has the prober run, again if need be; None where a request or the end came in between."""
        begun = self._clock.now()
        deadline = wish.run.deadline if wish.run else None
        end = self._clock.monotonic() + decide.budget(trigger, deadline, datetime.fromtimestamp(begun, UTC))
        attempts, not_before = 0, 0.0
        error: ProbeError | None = None
        self._missed = False
        while True:
            up = self._prober.up
            if up and (now := self._clock.monotonic()) >= not_before:
                attempts += 1
                try:
                    return self._prober.run(_request(wish, end - now))
                except ProbeError as failure:
                    error = failure
                    not_before = self._clock.monotonic() + self._retry.delay(attempts)
                    log.warning("probe gave no report", error=str(error), attempts=attempts)
            left = end - self._clock.monotonic()
            if left <= 0:
                self._missed = not (up and self._prober.up)
                error = error or ProbeError(UNAVAILABLE, self._prober.problem)
                return unanswered.report(
                    self._where, error, attempts=attempts, begun=begun, ended=self._clock.now()
                )
            # A probe that comes back wakes us; one that died of being asked is not asked again at once.
            pause = not_before - self._clock.monotonic() if self._prober.up else left
            self._wake.wait(max(0.0, min(pause, left)))
            self._wake.clear()
            if stop.is_set() or self._superseded(trigger, wish):
                return None

    def _superseded(self, trigger: Trigger, wish: NodePreflight) -> bool:
        now = self._desk.current()
        if now is None:
            return False
        asked, before = (now.run.id if now.run else ""), (wish.run.id if wish.run else "")
        return now.skip or (asked != before and (bool(asked) or trigger is Trigger.REQUESTED))

    def _publish(self, finished: Finished) -> None:
        try:
            self._desk.publish(finished.report, finished.run_id)
        except ApiError as error:
            self._metrics.count_publish_error(error.status)
            self._publish_failures += 1
            delay = self._retry.delay(self._publish_failures, error.retry_after)
            self._publish_at = self._clock.monotonic() + delay
            log.warning("answer not published, tried again", error=str(error), seconds=round(delay, 1))
            return
        log.info("answer published", run=finished.run_id, passed=finished.report.passed)
        self._in_hand = None


def _request(wish: NodePreflight, seconds: float) -> RunRequest:
    names = [name for name in wish.ignored_checks if NAME.fullmatch(name)]
    return RunRequest(
        timeout=max(seconds, MIN_SECONDS),
        use_emulation=wish.use_emulation,
        ignored=tuple(names[:MAX_RESULTS]),
    )
