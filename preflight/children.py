"""The forked children that ask checks: made, ended, and remembered where they do not end.

A fork, a new process's first steps and the end of one take as long as the whole suite does: a process that
runs it again and again can have the next child made while nobody waits for it.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence

from preflight.attempt import Attempt
from preflight.check import Check
from preflight.child import Orders, Task, stream_to
from preflight.child import main as child_main
from preflight.host import Host
from preflight.process import Child, fork, group_gone, kill_group, pipe, sweep, wait_gone
from preflight.result import Finding
from preflight.spare import Spare, wait
from preflight.stuck import Stuck


class Children:
    """All children of a runner."""

    def __init__(
        self,
        host: Host,
        *,
        seconds: Callable[[Check], float],
        monotonic: Callable[[], float] = time.monotonic,
        kill: Callable[[int], None] = kill_group,
        patience: float,
    ) -> None:
        """Makes none yet.

        Args:
            host: The machine.
            seconds: How long a check may take.
            monotonic: Clock for deadlines, in seconds.
            kill: Sends SIGKILL to a process and its group.
            patience: Seconds that a killed process has to end before it counts as stuck.
        """
        self._host = host
        self._seconds = seconds
        self._monotonic = monotonic
        self._kill = kill
        self._patience = patience
        self._spare: Spare | None = None
        self._made: Child | None = None  # what nobody else is sure to end yet
        self._ending: list[Stuck] = []
        self._stuck: list[Stuck] = []
        self._groups: set[int] = set()

    @property
    def stuck(self) -> Sequence[Stuck]:
        """Those that could not be killed and are still there."""
        for one in list(self._stuck):
            if one.child.ended():
                one.child.collect()
                if group_gone(one.child.pid):
                    self._stuck.remove(one)
        return self._stuck

    def make(self, tasks: Sequence[Task], findings: Mapping[str, Finding], *, use_emulation: bool) -> Attempt:
        """Returns a child that asks ``tasks``: the one that was made ahead, if there is one, else a new one.

        Args:
            tasks: What is to be asked.
            findings: What earlier children found, by name of check.
            use_emulation: VMs may run under software emulation.

        Raises:
            OSError: No process can be made, or no descriptor is left.
        """
        spare = self._spare
        if spare is not None:
            self._made, self._spare = spare.attempt.child, None
            names = [task.check.name for task in tasks]
            if not findings and spare.start(names, use_emulation=use_emulation):
                return spare.attempt
            self._discard(spare)
        orders = Orders(tasks, use_emulation)
        return self._fork(lambda: orders, tasks, findings)

    def prepare(self, suite: Sequence[Task]) -> None:
        """Makes the next child ahead; where that is not possible now, `make` will say so.

        Args:
            suite: All that it can be told to ask.
        """
        self.collect()
        if self._spare is not None:
            return
        try:
            go, go_end = pipe()
        except OSError:
            return
        os.set_blocking(go, True)
        try:
            self._spare = Spare(self._fork(lambda: wait(go, suite), suite, {}, (go,)), go_end)
            self._made = None
        except OSError:
            os.close(go_end)
        finally:
            os.close(go)

    def close(self) -> None:
        """Ends the child that was made ahead, and waits for those that were ended."""
        spare, self._spare = self._spare, None
        if spare is not None:
            self._discard(spare)
        self.collect()

    def end(self, attempt: Attempt, check: Check, *, answered: bool) -> None:
        """Kills a child and all that it left behind; `collect` waits for its end.

        Args:
            attempt: The child.
            check: What it was asked last.
            answered: Whether it has answered that.
        """
        attempt.close()
        self._kill(attempt.child.pid)
        self._ending.append(Stuck(attempt.child, check, answered))
        self._made = None

    def abandon(self) -> None:
        """Ends the child that was made and never handed over, because a signal's handler raised meanwhile."""
        made, self._made = self._made, None
        if made is not None:
            self._end_unused(made)

    def collect(self) -> None:
        """Waits for the children that were ended; one that does not end, or a program of its, is stuck."""
        while self._ending:
            one = self._ending.pop()
            ended = one.child.wait(self._patience)
            if ended:
                one.child.collect()
            if not ended or not (one.answered or wait_gone(one.child.pid, self._patience)):
                self._stuck.append(one)
            self._groups.add(one.child.pid)
        self._sweep()

    def _sweep(self) -> None:
        stuck = {one.child.pid for one in self._stuck}
        self._groups = {group for group in self._groups if group in stuck or not sweep(group)}

    def _discard(self, spare: Spare) -> None:
        """Ends a child that still waits, or has ended while it did: it has opened nothing."""
        spare.close()
        spare.attempt.close()
        self._end_unused(spare.attempt.child)

    def _end_unused(self, child: Child) -> None:
        # Where somebody has collected it already, its number may be another process's by now.
        if not child.ended():
            self._kill(child.pid)
        if child.wait(self._patience):
            child.collect()

    def _note(self, child: Child) -> None:
        self._made = child

    def _fork(
        self,
        orders: Callable[[], Orders],
        tasks: Sequence[Task],
        findings: Mapping[str, Finding],
        others: Sequence[int] = (),
    ) -> Attempt:
        opened: list[int] = []
        try:
            opened += pipe()
            opened += pipe()
            answers, answers_end, output, output_end = opened
            stream = stream_to(output_end)
            child = fork(
                lambda: child_main(
                    orders,
                    self._host,
                    findings,
                    pipe=answers_end,
                    others=others,
                    stream=stream,
                    lifetime=sum(self._seconds(task.check) for task in tasks) + self._patience,
                ),
                self._note,
            )
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            raise
        os.close(answers_end)
        os.close(output_end)
        return Attempt(child, answers, output, patience=self._patience, monotonic=self._monotonic)
