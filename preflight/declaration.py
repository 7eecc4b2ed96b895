"""What can be wrong with a check's declaration: pure.

A plugin's types are looked at by nobody before, and what is wrong in one declaration must not cost the
others: a weight that is a mere string would not block, an endless time-out would end the whole run.
"""

import re
from collections.abc import Iterator, Mapping

from preflight.check import Check, Setting, Weight
from preflight.report import NAME
from preflight.result import MAX_SECONDS, Outcome, Status

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}", re.ASCII)
"""A setting's name: a bare key of TOML that starts with a letter."""


def fault_of(check: Check) -> str | None:
    """Tells what is wrong with a check's declaration, None where nothing is."""
    return next(_faults(check._asdict()), None)


def _faults(declared: Mapping[str, object]) -> Iterator[str]:
    if not _is_name(declared["name"]):
        yield f"its name {_shown(declared['name'])} is not CamelCase"
    for field in ("question", "source", "description"):
        if not isinstance(declared[field], str):
            yield f"its {field} is {_shown(declared[field])}, not text"
    if not callable(declared["function"]):
        yield f"its function is {_shown(declared['function'])}, which cannot be called"
    if not isinstance(declared["weight"], Weight):
        yield f"its weight is {_shown(declared['weight'])}, none of preflight.check's"
    timeout = declared["timeout"]
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= MAX_SECONDS:
        yield f"its time-out is {_shown(timeout)}, not a number of seconds from 0 to {MAX_SECONDS:g}"
    for field in ("outcomes", "reads", "needs", "after", "settings"):
        if not isinstance(declared[field], tuple):
            yield f"its {field} are {_shown(declared[field])}, not a tuple"
    if not isinstance(declared["open_reasons"], bool):
        yield f"its open_reasons is {_shown(declared['open_reasons'])}, neither true nor false"
    yield from _faults_of_outcomes(_items(declared["outcomes"]))
    if not all(isinstance(path, str) for path in _items(declared["reads"])):
        yield "it reads something that is not text"
    if not all(_is_name(name) for field in ("needs", "after") for name in _items(declared[field])):
        yield "it depends on a name that is not CamelCase"
    yield from _faults_of_settings(_items(declared["settings"]))


def _faults_of_outcomes(outcomes: tuple[object, ...]) -> Iterator[str]:
    if not outcomes:
        yield "it declares no outcome"
    for outcome in outcomes:
        if not isinstance(outcome, Outcome):
            yield f"{_shown(outcome)} is no outcome"
            continue
        status, reason, hint, blocking = _items(outcome)
        if not _is_name(reason):
            yield f"its reason {_shown(reason)} is not CamelCase"
        elif not isinstance(status, Status):
            yield f"its outcome {reason} has the status {_shown(status)}"
        elif not isinstance(hint, str | None) or not isinstance(blocking, bool):
            yield f"its outcome {reason} has a hint that is no text, or does not say whether it blocks"
        elif status in (Status.FAIL, Status.UNKNOWN) and not (hint and hint.strip()):
            yield f"its outcome {reason} has no hint"


def _faults_of_settings(settings: tuple[object, ...]) -> Iterator[str]:
    names: list[object] = ["weight", "timeout"]
    for setting in settings:
        if not isinstance(setting, Setting):
            yield f"{_shown(setting)} is no setting"
            continue
        name, default, description, minimum, pattern = _items(setting)
        if not (isinstance(name, str) and _KEY.fullmatch(name)):
            yield f"its setting {_shown(name)} is no key of TOML"
        elif isinstance(default, bool) or not isinstance(default, int | str):
            yield f"its setting {name} is {_shown(default)} by default, neither a whole number nor text"
        elif not isinstance(description, str) or not isinstance(minimum, int | None):
            yield f"its setting {name} has a description that is no text, or a minimum that is no number"
        elif fault := _fault_of_default(default, minimum, pattern):
            yield f"its setting {name} {fault}"
        elif name in names:
            yield f"its setting {name} is there twice, or every check's"
        names.append(name)


def _fault_of_default(default: int | str, minimum: int | None, pattern: object) -> str:
    if isinstance(default, int):
        return "is less than its minimum by default" if minimum is not None and default < minimum else ""
    if pattern is None:
        return ""
    try:
        matches = isinstance(pattern, str) and re.fullmatch(pattern, default)
    except re.error as error:
        return f"has a pattern that is no regular expression: {error}"
    return "" if matches else f"is {default!r} by default, which does not match {_shown(pattern)}"


def _items(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _is_name(value: object) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _shown(value: object) -> str:
    """Returns a value for a message; of what is neither text nor a number, its type."""
    return repr(value) if isinstance(value, str | int | float) else type(value).__name__
