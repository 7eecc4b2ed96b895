"""What the forked child does: asks the checks one after the other and sends each finding through a pipe."""

import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import FileIO, TextIOWrapper
from typing import NamedTuple, NoReturn, TextIO

from preflight.check import Check, Run, Threshold
from preflight.fields import Fields
from preflight.framing import encode
from preflight.host import Host
from preflight.ordering import unmet
from preflight.outcomes import CRASHED, DEPENDENCY_FAILED, RUNNER_OUTCOMES
from preflight.report import NAME
from preflight.result import MAX_EVIDENCE, MAX_KEY, MAX_SECONDS, Finding, Outcome, one_line

MAX_DESCRIPTORS = 1024
"""Open files that a check can have."""

MANY_DESCRIPTORS = 65536
"""Descriptors that are closed one after the other where /proc does not tell which are open."""


class Task(NamedTuple):
    """A check that is to be asked.

    Attributes:
        check: The check.
        settings: Its thresholds, complete.
        previous: What it found when it was asked last, None where it was not.
    """

    check: Check
    settings: Mapping[str, Threshold]
    previous: Finding | None = None


class Orders(NamedTuple):
    """What a child is to do.

    Attributes:
        tasks: The checks to ask, in order.
        use_emulation: VMs may run under software emulation.
    """

    tasks: Sequence[Task]
    use_emulation: bool


class Answer(NamedTuple):
    """What a check answered.

    Attributes:
        finding: What was found.
        seconds: Time it took, in seconds.
    """

    finding: Finding
    seconds: float


def ask_all(
    tasks: Sequence[Task], host: Host, findings: Mapping[str, Finding], *, use_emulation: bool, pipe: int
) -> None:
    """Asks checks in order and sends each answer through a pipe.

    Args:
        tasks: What is to be asked.
        host: The machine.
        findings: What earlier children found, by name of check.
        use_emulation: VMs may run under software emulation.
        pipe: Descriptor of the pipe's end for writing.

    Raises:
        OSError: The pipe is gone.
    """
    known = dict(findings)
    identity = os.fstat(pipe)
    for task in tasks:
        check = task.check
        started = time.monotonic()
        if reason := unmet(check, known):
            finding = DEPENDENCY_FAILED(reason)
        else:
            seen = {name: known[name] for name in (*check.needs, *check.after) if name in known}
            finding = ask(check, host, Run(use_emulation, seen, task.settings, task.previous))
        known[check.name] = finding
        message = encode_answer(check, Answer(finding, time.monotonic() - started))
        if not os.path.samestat(os.fstat(pipe), identity):
            raise OSError(f"{check.name} put something else in the place of the runner's pipe")
        while message:
            message = message[os.write(pipe, message) :]


def ask(check: Check, host: Host, run: Run) -> Finding:
    """Asks one check; whatever goes wrong in it becomes a finding."""
    try:
        return accept(check, check.function(host, run))
    except BaseException as error:  # noqa: BLE001 -- a check's failure is its finding, also SystemExit
        return CRASHED(describe(error))


def accept(check: Check, returned: object) -> Finding:
    """Takes what a check returned, if it is one of its declared outcomes with text of a fit size."""
    if not isinstance(returned, Finding):
        return CRASHED(f"returned {type(returned).__name__} in place of a finding")
    outcome: object = returned.outcome
    if not isinstance(outcome, Outcome) or check.declared(outcome) is None:
        reason = getattr(outcome, "reason", type(outcome).__name__)
        return CRASHED(f"returned the outcome {reason}, which is not in its declaration")
    evidence: object = returned.evidence
    texts: list[object] = [returned.message, returned.hint or ""]
    if isinstance(evidence, Mapping):
        texts += [*evidence.keys(), *evidence.values()]
    if not isinstance(evidence, Mapping) or not all(isinstance(text, str) for text in texts):
        return CRASHED(f"returned {outcome.reason} with a message, hint or evidence that is not text")
    return outcome(returned.message, hint=returned.hint, evidence=returned.evidence)


def describe(error: BaseException) -> str:
    """Tells an exception's type, message and place in one line."""
    try:
        text = one_line(str(error), 1024)
    except Exception as second:  # noqa: BLE001 -- an exception whose text cannot be had is still told
        text = f"(its message cannot be shown: {type(second).__name__})"
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f" ({os.path.basename(code.co_filename)}:{trace.tb_lineno} in {code.co_name})"
        trace = trace.tb_next
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def encode_answer(check: Check, answer: Answer) -> bytes:
    """Returns an answer's bytes for the pipe."""
    finding = answer.finding
    outcomes = (*check.outcomes, *RUNNER_OUTCOMES)
    outcome = finding.outcome
    if outcome not in outcomes:
        outcome = check.declared(outcome) or outcome
    return encode(
        {
            "check": check.name,
            "outcome": outcomes.index(outcome),
            "reason": finding.outcome.reason,
            "message": finding.message,
            "hint": finding.hint or "",
            "evidence": dict(finding.evidence),
            "seconds": answer.seconds,
        }
    )


def decode_answer(check: Check, message: object) -> Answer:
    """Reads an answer that came through the pipe.

    Raises:
        FieldError: It is no answer of this check.
    """
    fields = Fields(message)
    if fields.text("check") != check.name:
        raise fields.error("check", f"not {check.name}")
    outcomes = (*check.outcomes, *RUNNER_OUTCOMES)
    outcome = outcomes[fields.integer("outcome", minimum=0, maximum=len(outcomes) - 1)]
    if check.open_reasons and outcome in check.outcomes:
        outcome = outcome._replace(reason=fields.text("reason", pattern=NAME))
    finding = Finding(
        outcome,
        fields.text("message"),
        fields.text("hint") or None,
        fields.texts("evidence", MAX_EVIDENCE, key_limit=MAX_KEY),
    )
    return Answer(finding, fields.number("seconds", minimum=0, maximum=MAX_SECONDS))


def stream_to(output: int) -> TextIO:
    """Makes the stream that a check prints to; without a buffer, so that nothing is lost when it crashes.

    It is made before the fork: every object that the child touches is a page to be copied.
    """
    raw = FileIO(output, "w", closefd=False)
    return TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def settle(pipes: Sequence[int], stream: TextIO) -> None:
    """Makes a forked child's surroundings its own: descriptors, streams, limits, memory.

    Every inherited descriptor but those of ``pipes`` is closed (a listening socket, for one, must not be kept
    open by a check that hangs), standard input is empty, standard output and error go to ``stream``.

    Raises:
        OSError: The kernel's answer.
    """
    output = stream.fileno()
    os.dup2(output, 1)
    os.dup2(output, 2)
    # Not /dev/null: what stands in /dev may be what is wrong, and a mount with nodev refuses every device.
    empty, end = os.pipe()
    os.dup2(empty, 0)
    os.close(end)
    _close_others({0, 1, 2, output, *pipes})
    # The inherited streams hold what the parent has not written yet.
    sys.stdout = sys.stderr = stream
    # What the parent made stays shared with it: the collector would touch, and so copy, all of it.
    gc.freeze()
    # A crash leaves no core file on the host, and a leak of descriptors ends here, not in the system's table.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not 0 <= soft <= MAX_DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_DESCRIPTORS, hard))
    # If memory runs out, the kernel takes this child, not its parent (proc(5): raising it needs no right).
    try:
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
            file.write(b"1000")
    except OSError:  # where /proc is read-only, the kernel chooses by size alone
        return


def _close_others(kept: set[int]) -> None:
    """Closes every descriptor that is not kept."""
    try:
        there = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # no /proc, or another one than ours
        there = list(range(MANY_DESCRIPTORS))
    for descriptor in there:
        if descriptor not in kept:
            with suppress(OSError):  # not open: the one that listdir itself had open, or a guess
                os.close(descriptor)


def main(
    orders: Callable[[], Orders],
    host: Host,
    findings: Mapping[str, Finding],
    *,
    pipe: int,
    others: Sequence[int],
    stream: TextIO,
    lifetime: float,
) -> NoReturn:
    """The forked child's whole life.

    Its parent ends it sooner; ``lifetime`` is for the case that the parent itself was killed.

    Args:
        orders: Returns what is to be done, as soon as that is known.
        host: The machine.
        findings: What earlier children found, by name of check.
        pipe: Descriptor of the pipe's end that answers go to.
        others: Descriptors that ``orders`` needs.
        stream: What the checks print to.
        lifetime: Seconds that it may live after it was told what to do.
    """
    status = 1
    try:
        settle((pipe, *others), stream)
        tasks, use_emulation = orders()
        signal.setitimer(signal.ITIMER_REAL, lifetime)
        ask_all(tasks, host, findings, use_emulation=use_emulation, pipe=pipe)
        status = 0
    except BaseException as error:  # noqa: BLE001 -- nothing may unwind into the parent's frames
        os.write(2, describe(error).encode(errors="replace"))
    finally:
        os._exit(status)
