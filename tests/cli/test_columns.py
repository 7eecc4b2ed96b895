from datetime import UTC, datetime, timedelta

import pytest

from cli.columns import NONE, age, line, widths

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600 + 60, "8h"),
        (47 * 3600, "47h"),
        (2 * 86400 + 3600, "2d1h"),
        (8 * 86400 + 3600, "8d"),
        (2 * 365 * 86400 - 1, "729d"),
        (2 * 365 * 86400 + 86400, "2y1d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages_are_kubectls(seconds, shown):
    """The cases of apimachinery's own test of HumanDuration."""
    assert age(NOW - timedelta(seconds=seconds), NOW) == shown


def test_no_time_has_no_age():
    assert age(None, NOW) == NONE


def test_columns_are_aligned_and_lines_have_no_blanks_at_their_ends():
    rows = [("NODE", "AGE"), ("a-longer-name", "1s")]
    assert [line(row, widths(rows)) for row in rows] == ["NODE            AGE", "a-longer-name   1s"]
    assert line(("longer-than-all-before", "1s"), widths(rows)) == "longer-than-all-before   1s"
