import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from preflight.clock import rfc3339


def test_known_points_in_time() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(1_700_000_000.25) == "2023-11-14T22:13:20.250000Z"
    assert rfc3339(1.9999999) == "1970-01-01T00:00:02.000000Z"


@given(st.integers(min_value=0, max_value=4 * 10**15))
def test_the_library_reads_the_same_time_back(micro: int) -> None:
    text = rfc3339(micro / 1_000_000)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert datetime.fromisoformat(text) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro)
