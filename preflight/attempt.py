"""One child that runs the suite, as its parent sees it: answers, output, deadlines, and how it ended."""

import math
import os
import select
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from preflight.check import Check
from preflight.child import Answer, decode_answer
from preflight.fields import FieldError
from preflight.framing import Decoder, FramingError
from preflight.outcomes import CRASHED, OUTPUT_TOO_LARGE, TIMED_OUT, ended_by
from preflight.process import TICK, Child, held_up
from preflight.result import NO_EVIDENCE, Finding, Outcome, one_line

MAX_OUTPUT = 1 << 16
"""Bytes that a check may print; as much as a pipe holds (pipe(7))."""

_TAIL = 1024
"""Bytes of its output that are shown when a check fails to answer."""


class Failure(NamedTuple):
    """Why no answer came.

    Attributes:
        finding: A finding of the runner's own outcomes.
    """

    finding: Finding


class Attempt:
    """A child that asks checks in order, and the two pipes that come from it."""

    def __init__(
        self, child: Child, answers: int, output: int, *, patience: float, monotonic: Callable[[], float]
    ) -> None:
        """Takes over a child and the pipes' ends for reading.

        Args:
            child: The child.
            answers: Descriptor of the pipe that carries its answers.
            output: Descriptor of the pipe that carries what the checks print.
            patience: Seconds in which a child that closed its pipe must have ended.
            monotonic: Clock, in seconds.
        """
        self.child = child
        self._answers: int | None = answers
        self._output: int | None = output
        self._patience = patience
        self._monotonic = monotonic
        self._decoder = Decoder()
        self._messages: deque[object] = deque()
        self._junk = ""
        self._printed = 0
        self._tail = b""

    def answer(self, check: Check, seconds: float) -> Answer | Failure:
        """Waits for the next answer, which must be that of ``check``, for at most ``seconds``."""
        deadline = self._monotonic() + seconds
        while True:
            if self._messages:
                return self._take(check)
            if self._junk:
                return self._failure(
                    CRASHED, f"something else than an answer came through the runner's pipe: {self._junk}"
                )
            if self._printed > MAX_OUTPUT:
                return self._failure(OUTPUT_TOO_LARGE, f"printed more than {MAX_OUTPUT} bytes")
            if self._answers is None or self.child.exit_code is not None:
                return self._death()
            left = deadline - self._monotonic()
            self._wait(max(0.0, left))
            if left <= 0 and not self._messages:
                words, function = held_up(self.child.pid)
                message = f"no answer within {seconds:.3g} s{'; ' if words else ''}{words}"
                return self._failure(TIMED_OUT, message, evidence={"wchan": function} if function else {})

    def close(self) -> None:
        """Closes the pipes; the child goes on."""
        for descriptor in (self._answers, self._output):
            if descriptor is not None:
                os.close(descriptor)
        self._answers = self._output = None

    def _take(self, check: Check) -> Answer | Failure:
        try:
            answer = decode_answer(check, self._messages.popleft())
        except FieldError as error:
            return self._failure(CRASHED, f"an answer that is none came through the runner's pipe: {error}")
        # What it printed may still be in the pipe, and would be charged to the next check.
        self._read_output()
        self._printed, self._tail = 0, b""
        return answer

    def _wait(self, seconds: float) -> None:
        """Waits until something happens, and takes in what did."""
        poll = select.poll()
        watched = self.child.fileno()
        for descriptor in (self._answers, self._output, watched):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        if watched is None:
            seconds = min(seconds, TICK)
        ready = {descriptor for descriptor, _ in poll.poll(math.ceil(seconds * 1000))}
        # Asked before the pipe is read: what it wrote before its end is then there to be read.
        ended = (watched is None or watched in ready) and self.child.ended()
        if self._answers in ready or ended:
            self._read_answers(to_the_end=ended)
        if self._output in ready:
            self._read_output()

    def _read_answers(self, *, to_the_end: bool) -> None:
        while self._answers is not None and not self._junk:
            try:
                data = os.read(self._answers, MAX_OUTPUT)
            except BlockingIOError:
                return
            if not data:
                os.close(self._answers)
                self._answers = None
                return
            try:
                self._messages.extend(self._decoder.feed(data))  # keeps those that came before the junk
            except FramingError as error:
                self._junk = str(error)
            if not to_the_end:
                return

    def _read_output(self) -> None:
        if self._output is None:
            return
        try:
            data = os.read(self._output, MAX_OUTPUT)
        except BlockingIOError:
            return
        if not data:
            os.close(self._output)
            self._output = None
        self._printed += len(data)
        self._tail = (self._tail + data)[-_TAIL:]

    def _death(self) -> Failure:
        if not self.child.wait(self._patience):
            return self._failure(CRASHED, "closed the runner's pipe without an answer")
        code = self.child.exit_code or 0
        if code >= 0:
            return self._failure(CRASHED, f"ended the process with exit status {code}")
        ended = ended_by(-code)
        return self._failure(ended.outcome, ended.message, hint=ended.hint)

    def _failure(
        self,
        outcome: Outcome,
        message: str,
        *,
        hint: str | None = None,
        evidence: Mapping[str, str] = NO_EVIDENCE,
    ) -> Failure:
        self._read_output()
        tail = one_line(self._tail.decode("utf-8", "replace"))
        printed = {"output": tail} if tail else {}
        return Failure(outcome(message, hint=hint, evidence={**evidence, **printed}))
