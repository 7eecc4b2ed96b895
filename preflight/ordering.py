"""The order in which checks run, and what they depend on. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from preflight.check import BLOCKING, Check, CheckFunction, Weight
from preflight.outcomes import BAD_CONFIGURATION
from preflight.report import NAME
from preflight.result import Finding, Status

_RANK = {Weight.UNLESS_EMULATED: 0, Weight.BLOCKING: 1, Weight.ADVISORY: 2}


def order(checks: Iterable[Check], declared: Mapping[str, str] | None = None) -> tuple[Check, ...]:
    """Sorts checks: dependencies first, then by weight (unless emulated, blocking, advisory), then by name.

    A check that needs one that is not there, or that depends on itself through others, cannot be run: a check
    of the same name that says so stands in its place. Names are taken to be unique.

    Args:
        checks: The checks.
        declared: By name of check, what the message begins with: who declares it.
    """

    def replace(name: str, problem: str) -> None:
        by = (declared or {}).get(name)
        known[name] = misconfigured(name, f"{by}: {problem}" if by else problem)

    known = {check.name: check for check in checks}
    for check in list(known.values()):
        for name in check.needs:
            if name not in known:
                replace(check.name, f"it needs {name}, and there is no such check")
    for name in _cyclic(known):
        replace(name, "its dependencies lead back to itself")
    waiting = dict(known)
    done: list[Check] = []
    while waiting:
        ready = [check for check in waiting.values() if not any(name in waiting for name in _before(check))]
        first = min(ready, key=lambda check: (_RANK[check.weight], check.name))
        done.append(waiting.pop(first.name))
    return tuple(done)


def closure(checks: Sequence[Check], names: Collection[str]) -> tuple[Check, ...]:
    """Returns the named checks and all that they depend on, in the order of ``checks``."""
    wanted = _reached({check.name: check for check in checks}, names)
    return tuple(check for check in checks if check.name in wanted)


def unmet(check: Check, findings: Mapping[str, Finding]) -> str | None:
    """Tells why a check cannot run, in one line; None where everything that it needs has succeeded."""
    for name in check.needs:
        finding = findings.get(name)
        if finding is None:
            return f"needs {name}, which was not run"
        if finding.outcome.status not in (Status.PASS, Status.WARN):
            return f"needs {name}, which ended as {finding.outcome.status} ({finding.outcome.reason})"
    return None


def misconfigured(name: str, problem: str, hint: str | None = None) -> Check:
    """Makes a check that cannot ask anything and says why: blocking, Unknown, ``BadConfiguration``."""
    answer: CheckFunction = lambda _host, _run: BAD_CONFIGURATION(problem, hint=hint)  # noqa: E731 -- one expression
    return Check(
        name=name,
        weight=BLOCKING,
        outcomes=(BAD_CONFIGURATION,),
        function=answer,
        question="Why can this check not be run?",
        reads=(),
        source="the check's installation",
        description=problem,
    )


def unused_name(text: str, taken: Collection[str]) -> str:
    """Makes a CamelCase name of any text, other than those that are taken."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[:1].upper() + word[1:] for word in words)[:60]
    if not NAME.fullmatch(name):
        name = f"Plugin{name}"[:60]
    number = 2
    unique = name
    while unique in taken:
        unique = f"{name}{number}"
        number += 1
    return unique


def _before(check: Check) -> tuple[str, ...]:
    return (*check.needs, *check.after)


def _reached(known: Mapping[str, Check], names: Iterable[str]) -> set[str]:
    """Returns the names, and all that are reached from them through dependencies."""
    reached: set[str] = set()
    todo = [name for name in names if name in known]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += [other for other in _before(known[name]) if other in known]
    return reached


def _cyclic(known: Mapping[str, Check]) -> list[str]:
    """Returns the names that are reached from what they depend on."""
    return [name for name in known if name in _reached(known, _before(known[name]))]
