"""A check that is an executable file: it is run with the host's root as its argument, and its end answers.

Exit status 0 is Pass, 1 Fail, 2 Warn, 3 Skip, everything else Unknown. What it writes (`plugin_output`) gives
the words. Its time, the end of all that it started, and that it never runs twice at once are the runner's to
see to, as with every check.
"""

import errno
import os
import shlex

from preflight import exec_error, plugin_output, program
from preflight.check import Check, Run, Weight
from preflight.host import Host
from preflight.outcomes import CRASHED, KILLED, ended_by
from preflight.program import Ended
from preflight.result import Finding, Status, failing, one_line, passing, skipping, unknown, warning

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
"""All of its environment."""

PASSED = passing("Passed")
FAILED = failing("Failed", hint="FILE /; echo $?")
WARNED = warning("Warned")
SKIPPED = skipping("Skipped")
UNDEFINED = unknown("UndefinedStatus", hint="FILE /; echo $?")
NOT_STARTED = unknown("NotStarted", hint="ls -lL FILE; head -1 FILE; findmnt -T FILE")

BY_STATUS = (PASSED, FAILED, WARNED, SKIPPED)
"""The outcome of each exit status that has a meaning, with the reason of a program that names none."""

OUTCOMES = (*BY_STATUS, UNDEFINED, NOT_STARTED, CRASHED, KILLED)


def executable(
    path: str, *, name: str, weight: Weight, timeout: float, question: str, hint: str | None
) -> Check:
    """Makes a check of an executable file.

    Args:
        path: Its absolute path.
        name: As in `Check`, and so are weight, timeout and question.
        weight: Its weight.
        timeout: Its time-out, in seconds.
        question: What it asks.
        hint: What to do where it does not pass; by default, to run it by hand.
    """

    def ask(host: Host, _run: Run) -> Finding:
        root = os.path.abspath(host.root)
        try:
            ended = program.run((path, root), ENVIRONMENT)
        except OSError as error:
            number = error.errno or 0
            return NOT_STARTED(
                f"starting {path}: {exec_error.meaning(number, _head(path))}",
                hint=_of_file(NOT_STARTED.hint, path),
                evidence={path: errno.errorcode.get(number, str(number))},
            )
        return finding(path, root, ended, hint)

    return Check(
        name=name,
        weight=weight,
        outcomes=tuple(
            one._replace(hint=(hint if one in (FAILED, UNDEFINED) else None) or _of_file(one.hint, path))
            for one in OUTCOMES
        ),
        function=ask,
        question=question,
        reads=(path,),
        source=f"the executable {path}",
        timeout=timeout,
        open_reasons=True,
    )


def finding(path: str, root: str, ended: Ended, hint: str | None) -> Finding:
    """Tells what the end of an executable means. Pure.

    Args:
        path: The executable.
        root: What it was given as its argument.
        ended: How it ended.
        hint: What to do where it does not pass and does not say so itself.
    """
    errors = one_line(ended.errors.decode("utf-8", "replace"))
    if ended.status < 0:
        died = ended_by(-ended.status, path)
        return died._replace(evidence={"standard error": errors} if errors else {})
    said = plugin_output.parse(ended.output)
    told = said.message or (f"standard error: {errors}" if errors else "nothing on standard output")
    if ended.status < len(BY_STATUS):
        outcome = BY_STATUS[ended.status]
        message = said.message or f"exit status {ended.status}, {told}"
    else:
        outcome = UNDEFINED
        message = f"exit status {ended.status} (0 is Pass, 1 Fail, 2 Warn, 3 Skip): {told}"
    if outcome.status is Status.PASS or outcome.status is Status.SKIP:
        hint = None
    elif outcome.hint:
        hint = hint or f"{shlex.quote(path)} {shlex.quote(root)}; echo $?"
    evidence = {path: f"exit status {ended.status}"}
    if said.complaint:
        evidence["standard output"] = said.complaint
    if errors:
        evidence["standard error"] = errors
    worded = outcome._replace(reason=said.reason) if said.reason else outcome
    return worded(message, hint=said.hint or hint, evidence=evidence)


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(exec_error.HEAD)
    except OSError:  # what cannot be read cannot tell
        return b""


def _of_file(hint: str | None, path: str) -> str | None:
    """Puts a file's name into a hint, so that it can be pasted."""
    return hint and hint.replace("FILE", shlex.quote(path))
