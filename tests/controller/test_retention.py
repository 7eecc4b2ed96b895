from datetime import timedelta

import pytest
from cluster_model import START

from controller.objects import Check, Meta
from controller.retention import expired


def name(number: int) -> str:
    return f"vmruntime-preflight-check-{number:08x}-0000-4000-8000-000000000000"


def automatic(number: int, *, ended: bool = True, cancelled: bool = False) -> Check:
    """The ``number``-th oldest automatic check."""
    at = START + timedelta(minutes=number)
    return Check(
        Meta(name(number), created=at),
        "Enabled",
        passed=None if cancelled or not ended else True,
        completion=at if ended else None,
        cancelled=cancelled,
    )


MANUAL = [
    Check(Meta(f"manual-{number}", created=START), "Requested", completion=START) for number in range(20)
]
COPIED = Check(Meta("manual-copy", created=START), "Enabled", completion=START)


@pytest.mark.parametrize(
    ("checks", "status", "gone"),
    [
        ([], {}, []),
        ([automatic(number) for number in range(10)], {}, []),
        ([automatic(number) for number in range(12)], {}, [0, 1]),
        ([automatic(number) for number in reversed(range(12))], {}, [0, 1]),
        ([*(automatic(number) for number in range(10)), *MANUAL, COPIED], {}, []),
        ([automatic(0, ended=False), *(automatic(number) for number in range(1, 12))], {}, [1]),
        ([automatic(number, cancelled=True) for number in range(11)], {}, [0]),
        (
            [automatic(number) for number in range(12)],
            {"preflightCheckSummary": {"preflightCheckName": name(0)}},
            [1],
        ),
        (
            [automatic(number) for number in range(12)],
            {"preflightCheckSummary": {"lastCompleted": {"name": name(1)}}},
            [0],
        ),
        ([automatic(number) for number in range(12)], {"preflightCheckSummary": "junk"}, [0, 1]),
    ],
)
def test_the_ten_newest_automatic_ones_are_kept(
    checks: list[Check], status: dict[str, object], gone: list[int]
):
    assert [check.name for check in expired(checks, status)] == [name(number) for number in gone]
