from datetime import UTC, datetime, timedelta

from cluster.backoff import Backoff
from cluster.transport import ApiError
from controller.actions import ApplyAgents, CreateRuntime
from controller.retries import FORGOTTEN, Retries

START = datetime(2026, 1, 1, tzinfo=UTC)
REFUSED = ApiError(403, "Forbidden", "no")
CONFLICT = ApiError(409, "Conflict", "changed")


class Clock:
    def __init__(self) -> None:
        self.time = START
        self.counted: list[str] = []
        self.retries = Retries(Backoff(1.0, 30.0, lambda: 1.0), lambda: self.time, self.counted.append)


def test_a_failed_action_waits_longer_each_time_and_alone():
    clock = Clock()
    action = ApplyAgents()
    assert not clock.retries.held(action)
    for seconds in (1, 2, 4, 8):
        clock.retries.failed(action, REFUSED)
        assert clock.retries.due() == [clock.time + timedelta(seconds=seconds)]
        assert clock.retries.held(action)
        assert not clock.retries.held(CreateRuntime())
        clock.time += timedelta(seconds=seconds)
        assert not clock.retries.held(action)
    assert clock.counted == ["DaemonSet"] * 4
    clock.retries.succeeded(action)
    clock.retries.failed(action, REFUSED)
    assert clock.retries.due() == [clock.time + timedelta(seconds=1)]


def test_a_conflict_waits_no_longer_each_time_and_is_no_error():
    clock = Clock()
    for _ in range(5):
        clock.retries.failed(CreateRuntime(), CONFLICT)
    assert clock.retries.due() == [START + timedelta(seconds=1)]
    assert clock.counted == []


def test_what_is_no_longer_wanted_is_forgotten():
    clock = Clock()
    clock.retries.failed(ApplyAgents(), REFUSED)
    clock.time += FORGOTTEN + timedelta(seconds=2)
    assert clock.retries.due() == []
    clock.retries.failed(ApplyAgents(), REFUSED)
    assert clock.retries.due() == [clock.time + timedelta(seconds=1)]
