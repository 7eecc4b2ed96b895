from cluster.backoff import Backoff
from cluster.transport import ApiError
from controller.actions import ApplyAgents, CreateRuntime
from controller.retries import Retries

REFUSED = ApiError(403, "Forbidden", "no")
NO_ANSWER = ApiError(0, "NoAnswer", "lost")
CONFLICT = ApiError(409, "Conflict", "changed")


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0
        self.counted: list[str] = []
        self.retries = Retries(Backoff(1.0, 30.0, lambda: 1.0), lambda: self.time, self.counted.append)


def test_a_failed_action_waits_longer_each_time_and_alone():
    clock = Clock()
    action = ApplyAgents()
    assert not clock.retries.held(action)
    for seconds in (1, 2, 4, 8):
        clock.retries.failed(action, REFUSED)
        assert clock.retries.due() == [seconds]
        assert clock.retries.held(action)
        assert not clock.retries.held(CreateRuntime())
        clock.time += seconds
        assert not clock.retries.held(action)
    assert clock.counted == ["DaemonSet"] * 4
    clock.retries.succeeded(action)
    clock.retries.failed(action, REFUSED)
    assert clock.retries.due() == [1]


def test_a_conflict_waits_no_longer_each_time_and_is_no_error():
    clock = Clock()
    for _ in range(5):
        clock.retries.failed(CreateRuntime(), CONFLICT)
    assert clock.retries.due() == [1]
    assert clock.counted == []


def test_what_is_no_longer_wanted_was_carried_out_and_its_failures_are_forgotten():
    clock = Clock()
    clock.retries.failed(ApplyAgents(), NO_ANSWER)
    clock.retries.failed(CreateRuntime(), NO_ANSWER)
    clock.retries.wanted([CreateRuntime()])
    assert clock.retries.due() == [1]
    clock.retries.failed(ApplyAgents(), NO_ANSWER)
    clock.retries.failed(CreateRuntime(), NO_ANSWER)
    assert clock.retries.due() == [2, 1]
