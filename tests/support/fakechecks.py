"""Checks made for tests: well-behaved ones, and one for each way in which a check can go wrong."""

from preflight.check import BLOCKING, Check, CheckFunction, Setting, Weight, check
from preflight.result import Outcome, failing, passing, skipping, unknown, warning

GOOD = passing("Good")
POOR = warning("Poor", hint="mend it")
BAD = failing("Bad", hint="repair it")
DOOMED = failing("Doomed", hint="replace it", blocking=True)
ABSENT = skipping("Absent")
VAGUE = unknown("Vague", hint="look again")

OUTCOMES = (GOOD, POOR, BAD, DOOMED, ABSENT, VAGUE)


def fake(
    name: str,
    function: CheckFunction | Outcome = GOOD,
    *,
    weight: Weight = BLOCKING,
    outcomes: tuple[Outcome, ...] = OUTCOMES,
    timeout: float = 30.0,
    needs: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    settings: tuple[Setting, ...] = (),
    reads: tuple[str, ...] = (),
) -> Check:
    """Makes a check of a function, or one that always ends in the same outcome."""

    def answer(host: object, run: object) -> object:
        assert isinstance(function, Outcome)
        return function(f"{name} is {function.reason.lower()}")

    return check(
        name,
        question=f"Is {name} good?",
        weight=weight,
        outcomes=outcomes,
        reads=reads,
        source="made up",
        timeout=timeout,
        needs=needs,
        after=after,
        settings=settings,
    )(answer if isinstance(function, Outcome) else function)  # type: ignore[arg-type]  # wrong returns are the point
