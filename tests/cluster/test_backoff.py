from hypothesis import given
from hypothesis import strategies as st

from cluster.backoff import MAX_RETRY_AFTER, Backoff


def test_limits_double_up_to_the_cap() -> None:
    backoff = Backoff(base=0.5, cap=4.0, random=lambda: 1.0)
    assert [backoff.delay(failures) for failures in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_what_the_server_asks_for_is_waited_and_bounded() -> None:
    backoff = Backoff(base=2.0, cap=4.0, random=lambda: 0.5)
    assert backoff.delay(1, 7.0) == 8.0
    assert backoff.delay(1, 86_400.0) == MAX_RETRY_AFTER + 1.0


@given(st.integers(-5, 10**9), st.floats(0, 1, exclude_max=True), st.none() | st.floats(allow_nan=False))
def test_any_delay_is_bounded(failures: int, drawn: float, retry_after: float | None) -> None:
    delay = Backoff(base=0.5, cap=30.0, random=lambda: drawn).delay(failures, retry_after)
    assert 0.0 <= delay <= MAX_RETRY_AFTER + 30.0
