"""Runs checks: a forked child asks them, this process keeps the time.

A check that hangs, crashes, is killed or prints without end costs its own answer only: the child and all that
it left behind are killed, and a new child goes on with the rest. This process opens no device.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from preflight.check import Check
from preflight.child import Answer, Task
from preflight.children import Children
from preflight.clock import rfc3339
from preflight.config import Config
from preflight.host import Host
from preflight.ordering import closure, order
from preflight.outcomes import CRASHED, EXHAUSTED, RUNNER_OUTCOMES, TIMED_OUT
from preflight.process import kill_group
from preflight.report import Report
from preflight.result import Finding, Result
from preflight.verdict import judge, mode_of, passed


class UnknownCheckError(ValueError):
    """A check was asked for that there is not."""


class Runner:
    """Runs a suite of checks on a host, one run at a time."""

    def __init__(
        self,
        checks: Sequence[Check],
        host: Host,
        config: Config,
        *,
        node: str,
        agent_version: str,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        kill: Callable[[int], None] = kill_group,
        patience: float = 1.0,
        ahead: bool = False,
    ) -> None:
        """Prepares runs; nothing is read or run yet.

        Args:
            checks: The checks that there are, in any order.
            host: The machine.
            config: What is configured.
            node: The node's name, for the report.
            agent_version: Version of this program, for the report.
            now: Clock, in seconds since the epoch.
            monotonic: Clock for deadlines, in seconds.
            kill: Sends SIGKILL to a process and its group.
            patience: Seconds that a killed process has to end before it counts as stuck.
            ahead: A run leaves waiting for its child's end to `prepare`, which is called when there is time.
        """
        self.checks = order(checks)
        self._host = host
        self._config = config
        self._node = node
        self._agent_version = agent_version
        self._now = now
        self._monotonic = monotonic
        self._ahead = ahead
        self._previous: dict[str, Finding] = {}
        self._children = Children(
            host, seconds=config.seconds, monotonic=monotonic, kill=kill, patience=patience
        )

    @property
    def stuck(self) -> int:
        """The number of children that could not be killed and are still there."""
        return len(self._children.stuck)

    def prepare(self) -> None:
        """Has the next run's child made ahead, for a process that runs the suite again and again."""
        self._children.prepare([self._task(check) for check in self.checks])

    def close(self) -> None:
        """Ends what `prepare` has made."""
        self._children.close()

    def run(
        self,
        *,
        use_emulation: bool = False,
        ignored: Collection[str] = (),
        only: Collection[str] = (),
        timeout: float | None = None,
        on_result: Callable[[Result], None] | None = None,
    ) -> Report:
        """Runs the suite once.

        Args:
            use_emulation: VMs may run under software emulation.
            ignored: Names of checks, beside the configured ones, that are shown as Warn at most. Names that
                there are not are no error: a cluster's list is for all of its nodes.
            only: Checks to report, all by default or as configured; what they depend on is run too.
            timeout: Seconds for the whole run; as configured by default.
            on_result: Called with each result as soon as it is there.

        Raises:
            UnknownCheckError: ``only`` names a check that there is not.
        """
        started = self._now()
        asked = tuple(only) or self._config.only or tuple(check.name for check in self.checks)
        names = {check.name for check in self.checks}
        if missing := [name for name in asked if name not in names]:
            raise UnknownCheckError(f"{missing[0]}: no such check (there are {', '.join(sorted(names))})")
        ignored = {*ignored, *self._config.ignore}
        results: dict[str, Result] = {}
        findings: dict[str, Finding] = {}

        def record(check: Check, answer: Answer) -> None:
            findings[check.name] = finding = _named(check, answer.finding)
            if finding.outcome in check.outcomes:
                self._previous[check.name] = finding
            if check.name not in asked:
                return
            result = judge(
                check.name,
                self._config.weight(check),
                finding,
                answer.seconds,
                use_emulation=use_emulation,
                ignored=ignored,
            )
            results[check.name] = result
            if on_result is not None:
                on_result(result)

        limit = self._config.timeout if timeout is None else timeout
        tasks = [self._task(check) for check in closure(self.checks, asked)]
        ended = False
        try:
            self._run_all(tasks, findings, record, use_emulation=use_emulation, seconds=limit)
            ended = True
        finally:
            if not ended:
                self._children.abandon()
            if not (ended and self._ahead):
                self._children.collect()
        ordered = tuple(results[check.name] for check in self.checks if check.name in results)
        return Report(
            node=self._node,
            passed=passed(ordered),
            mode=mode_of(findings, use_emulation=use_emulation) if "KVM" in results else None,
            results=ordered,
            start_time=rfc3339(started),
            completion_time=rfc3339(self._now()),
            kernel_version=self._host.kernel_release(),
            architecture=self._host.machine(),
            agent_version=self._agent_version,
            boot_id=self._host.boot_id(),
        )

    def _task(self, check: Check) -> Task:
        return Task(check, self._config.thresholds(check), self._previous.get(check.name))

    def _run_all(
        self,
        tasks: list[Task],
        findings: dict[str, Finding],
        record: Callable[[Check, Answer], None],
        *,
        use_emulation: bool,
        seconds: float | None,
    ) -> None:
        limit = _Limit(float("inf") if seconds is None else self._monotonic() + seconds, seconds or 0.0)
        while tasks:
            self._children.collect()
            tasks = self._without_stuck(tasks, record)
            if self._monotonic() >= limit.end:
                for task in tasks:
                    record(task.check, Answer(limit.finding("not asked"), 0.0))
                return
            if tasks:
                tasks = self._attempt(tasks, findings, record, use_emulation=use_emulation, limit=limit)

    def _attempt(
        self,
        tasks: list[Task],
        findings: dict[str, Finding],
        record: Callable[[Check, Answer], None],
        *,
        use_emulation: bool,
        limit: "_Limit",
    ) -> list[Task]:
        """Forks a child that asks ``tasks``; returns those that still have no answer when it has ended."""
        try:
            attempt = self._children.make(tasks, findings, use_emulation=use_emulation)
        except OSError as error:
            for task in tasks:
                record(task.check, Answer(_not_made(task.check, error), 0.0))
            return []
        task, answered = tasks[0], False
        try:
            for index, task in enumerate(tasks):
                begun = self._monotonic()
                allowed, left = self._config.seconds(task.check), max(0.0, limit.end - begun)
                answer = attempt.answer(task.check, min(allowed, left))
                if answered := isinstance(answer, Answer):
                    record(task.check, answer)
                    continue
                if index > 0 and answer.finding.outcome is not TIMED_OUT:
                    # An earlier check may have left this behind (a thread, a broken heap): a new child tells.
                    return tasks[index:]
                finding = answer.finding
                if finding.outcome is TIMED_OUT and left < allowed:
                    finding = limit.finding("no answer")
                record(task.check, Answer(finding, self._monotonic() - begun))
                return tasks[index + 1 :]
            return []
        finally:
            self._children.end(attempt, task.check, answered=answered)

    def _without_stuck(self, tasks: list[Task], record: Callable[[Check, Answer], None]) -> list[Task]:
        """Answers the checks that a stuck child holds up, and returns the others."""
        stuck = self._children.stuck
        if not stuck:
            return tasks
        left = []
        for task in tasks:
            holder = next((one for one in stuck if one.holds_up(task.check)), None)
            if holder is None:
                left.append(task)
            else:
                record(task.check, Answer(holder.finding(), 0.0))
        return left


class _Limit(NamedTuple):
    """When a whole run must have ended.

    Attributes:
        end: On the monotonic clock.
        seconds: What the run was given.
    """

    end: float
    seconds: float

    def finding(self, what: str) -> Finding:
        """Returns the answer of a check that it cuts off."""
        return TIMED_OUT(
            f"{what}: the run's {self.seconds:g} s were over",
            hint="give the run more time: --timeout SECONDS, or in the configuration timeout under [run]",
        )


def _not_made(check: Check, error: OSError) -> Finding:
    """Returns the answer of a check for which no process could be made."""
    outcome = next((one for one in check.outcomes if one.reason == EXHAUSTED), CRASHED)
    return outcome(
        f"no process could be made for it: {error.strerror}",
        hint="processes, memory or descriptors are lacking: ulimit -u; ulimit -n; free -m; "
        "cat /sys/fs/cgroup/pids.max; then run again",
    )


def _named(check: Check, finding: Finding) -> Finding:
    """Puts the check's name into a hint of the runner's own, so that it can be pasted."""
    if finding.outcome in RUNNER_OUTCOMES and finding.hint:
        return finding._replace(hint=finding.hint.replace("NAME", check.name))
    return finding
