from datetime import UTC, datetime, timedelta

from controller.moments import Moments

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clocks:
    def __init__(self) -> None:
        self.day = NOON
        self.seconds = 1000.0
        self.moments = Moments(lambda: self.day, lambda: self.seconds)

    def pass_(self, seconds: float) -> None:
        self.day += timedelta(seconds=seconds)
        self.seconds += seconds


def test_the_first_time_counts_and_a_note_is_of_now():
    clocks = Clocks()
    assert clocks.moments.get("a") is None
    assert clocks.moments.first("a") == NOON
    clocks.pass_(5)
    assert clocks.moments.first("a") == NOON
    clocks.moments.note("a")
    assert clocks.moments.get("a") == NOON + timedelta(seconds=5)
    clocks.moments.forget("a")
    assert clocks.moments.get("a") is None


def test_a_clock_that_is_set_changes_nothing_of_what_has_passed():
    clocks = Clocks()
    clocks.moments.note("a")
    clocks.pass_(5)
    clocks.day -= timedelta(hours=1)
    moment = clocks.moments.get("a")
    assert moment is not None
    assert clocks.day - moment == timedelta(seconds=5)


def test_what_is_not_named_is_forgotten():
    clocks = Clocks()
    clocks.moments.note("a")
    clocks.moments.note("b")
    clocks.moments.forget_all_but({"b"})
    assert clocks.moments.get("a") is None
    assert clocks.moments.get("b") == NOON
