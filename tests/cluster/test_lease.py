import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Self

import pytest

from cluster.lease import Election, Record, Timing, claim
from cluster.transport import ApiError

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = "2026-01-02T03:04:05.000000Z"
THEN = "2020-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, Record("me", 15, NOW, NOW, 0)),
        (Record("me", 15, THEN, THEN, 3), Record("me", 15, THEN, NOW, 3)),
        (Record("me", 15, "", THEN, 3), Record("me", 15, NOW, NOW, 3)),
        (Record("you", 15, THEN, THEN, 3), Record("me", 15, NOW, NOW, 4)),
        (Record("", 1, THEN, THEN, 3), Record("me", 15, NOW, NOW, 4)),
        (Record("you", 15, THEN, THEN, 2**31 - 1), Record("me", 15, NOW, NOW, 0)),
    ],
)
def test_claim(record: Record | None, expected: Record) -> None:
    assert claim(record, "me", duration=15, moment=NOW) == expected


def test_a_record_survives_the_wire() -> None:
    record = Record("me", 15, THEN, NOW, 4)
    assert Record.of({"spec": record.to_dict()}) == record


@pytest.mark.parametrize(
    "spec", [None, [], {"leaseDurationSeconds": -5, "holderIdentity": 7, "leaseTransitions": "x"}]
)
def test_nonsense_is_an_empty_record(spec: object) -> None:
    assert Record.of({"spec": spec}) == Record("", 0, "", "", 0)


class Time:
    """A clock that moves only when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.plan: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def at(self, after: float, action: Callable[[], None]) -> None:
        """Does something so many seconds after the start."""
        self.plan.append((1000.0 + after, action))
        self.plan.sort(key=lambda entry: entry[0])

    def advance(self, seconds: float) -> None:
        until = self.seconds + seconds
        while self.plan and self.plan[0][0] <= until:
            self.seconds, action = self.plan.pop(0)
            action()
        self.seconds = until


class Stop(threading.Event):
    """A stop that passes time instead of waiting; ends any test after a simulated hour."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert self._time.seconds < 4600.0, "an hour has passed"
        if not self.is_set():
            self._time.advance(timeout)
        return self.is_set()


class LeaseServer:
    """One Lease with the API server's rules: names are unique, resource versions must match."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.lease: dict[str, object] | None = None
        self.version = 0
        self.down = False
        self.writes: list[dict[str, object]] = []
        self.timeouts: list[float] = []
        self.call_seconds = 0.0

    def limited(self, *, timeout: float) -> Self:
        self.timeouts.append(timeout)
        return self

    def _answer(self) -> None:
        self.time.advance(self.call_seconds)
        if self.down:
            raise ApiError(0, "Unreachable", "down")

    def get(self, path: str) -> Mapping[str, object]:
        self._answer()
        assert path == "/apis/coordination.k8s.io/v1/namespaces/ns/leases/leader"
        if self.lease is None:
            raise ApiError(404, "NotFound", "")
        return self.lease

    def create(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        self._answer()
        assert path == "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", "")
        return self._store(body)

    def replace(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        self._answer()
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise ApiError(409, "Conflict", "")
        return self._store(body)

    def _store(self, body: Mapping[str, object]) -> Mapping[str, object]:
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.writes.append(dict(body["spec"]))
        return self.lease

    def write(self, **spec: object) -> None:
        """Writes as somebody else does."""
        self.lease = self.lease or {"metadata": {"name": "leader"}, "spec": {}}
        self._store({**self.lease, "spec": {**self.lease["spec"], **spec}})


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def stop(time: Time) -> Stop:
    return Stop(time)


@pytest.fixture
def server(time: Time) -> LeaseServer:
    return LeaseServer(time)


@pytest.fixture
def election(server: LeaseServer, time: Time) -> Election:
    return Election(
        server, namespace="ns", name="leader", identity="me", clock=time, now=time.now, draw=lambda: 0.0
    )


def test_a_free_lease_is_taken_renewed_and_released(server, election, time, stop) -> None:
    led: list[float] = []
    time.at(5.0, stop.set)
    assert election.run(lambda: led.append(time.seconds), stop) is True
    assert led == [1000.0]
    first, second, *_, last = server.writes
    assert first["holderIdentity"] == "me"
    assert first["acquireTime"] == first["renewTime"] == "2026-01-02T03:20:45.000000Z"
    assert second == {**first, "renewTime": "2026-01-02T03:20:47.000000Z"}
    assert last["holderIdentity"] == ""
    assert last["leaseDurationSeconds"] == 1
    assert not election.leading


def test_another_holder_is_left_in_peace_while_its_record_changes(server, election, time, stop) -> None:
    server.write(holderIdentity="other", leaseDurationSeconds=15, renewTime=THEN, leaseTransitions=2)
    for beat in range(1, 20):
        time.at(beat * 10.0, lambda beat=beat: server.write(renewTime=f"beat {beat}"))
    time.at(300.0, stop.set)
    led: list[float] = []
    election.run(lambda: led.append(time.seconds), stop)
    assert len(led) == 1
    assert 1190.0 + 15.0 <= led[0] <= 1190.0 + 15.0 + 4.0
    assert server.lease["spec"]["leaseTransitions"] == 3


@pytest.mark.parametrize("renewed", ["1999-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "nonsense"])
def test_the_holders_clock_does_not_matter(server, election, time, stop, renewed: str) -> None:
    server.write(holderIdentity="other", leaseDurationSeconds=15, renewTime=renewed)
    led: list[float] = []
    time.at(60.0, stop.set)
    election.run(lambda: led.append(time.seconds), stop)
    assert 1015.0 <= led[0] <= 1019.0


def test_a_released_lease_is_taken_at_once(server, election, time, stop) -> None:
    server.write(holderIdentity="", leaseDurationSeconds=1, leaseTransitions=7)
    time.at(1.0, stop.set)
    led: list[float] = []
    election.run(lambda: led.append(time.seconds), stop)
    assert led == [1000.0]
    assert server.writes[1]["leaseTransitions"] == 8


def test_a_leader_that_cannot_renew_stops_before_another_can_take_over(server, election, time, stop) -> None:
    def fail() -> None:
        server.down = True
        server.call_seconds = 5.0

    time.at(7.0, fail)
    assert election.run(lambda: None, stop) is False
    assert time.seconds <= 1006.0 + 15.0
    assert server.lease["spec"]["holderIdentity"] == "me"


def test_no_call_may_outlast_the_lease(server, election, time, stop) -> None:
    time.at(7.0, lambda: setattr(server, "down", True))
    election.run(lambda: None, stop)
    assert max(server.timeouts) == Timing().renew_deadline / 2
    assert server.timeouts[-1] <= 2.0


def test_a_short_outage_is_survived(server, election, time, stop) -> None:
    time.at(3.0, lambda: setattr(server, "down", True))
    time.at(9.0, lambda: setattr(server, "down", False))
    time.at(60.0, stop.set)
    assert election.run(lambda: None, stop) is True


@pytest.mark.parametrize("holder", ["other", ""])
def test_a_record_that_somebody_wrote_over_is_lost(server, election, time, stop, holder: str) -> None:
    time.at(3.0, lambda: server.write(holderIdentity=holder))
    assert election.run(lambda: None, stop) is False
    assert server.lease["spec"]["holderIdentity"] == holder
    assert not election.leading


def test_a_conflict_while_leading_is_looked_at_again(server, election, time, stop) -> None:
    original = server.get

    def get(path: str) -> Mapping[str, object]:
        found = original(path)
        if time.seconds == 1002.0:
            server.write(note="annotated meanwhile")
        return found

    server.get = get
    time.at(9.0, stop.set)
    assert election.run(lambda: None, stop) is True


def test_of_two_candidates_that_create_at_once_one_stands_by(server, election, time, stop) -> None:
    original = server.create

    def create(path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        server.write(holderIdentity="faster", leaseDurationSeconds=15)
        return original(path, body)

    server.create = create
    time.at(10.0, stop.set)
    led: list[float] = []
    assert election.run(lambda: led.append(time.seconds), stop) is True
    assert led == []
    assert server.lease["spec"]["holderIdentity"] == "faster"


def test_fields_of_others_in_the_lease_are_kept(server, election, time, stop) -> None:
    server.write(holderIdentity="", preferredHolder="x")
    time.at(1.0, stop.set)
    election.run(lambda: None, stop)
    assert server.lease["spec"]["preferredHolder"] == "x"


def test_work_that_cannot_start_gives_the_lease_back(server, election, stop) -> None:
    def fail() -> None:
        raise RuntimeError("cannot start")

    with pytest.raises(RuntimeError, match="cannot start"):
        election.run(fail, stop)
    assert server.lease["spec"]["holderIdentity"] == ""


def test_a_release_that_fails_is_no_error(server, election, time, stop) -> None:
    def end() -> None:
        server.down = True
        stop.set()

    time.at(3.0, end)
    assert election.run(lambda: None, stop) is True
    assert server.lease["spec"]["holderIdentity"] == "me"


def test_candidates_do_not_come_in_step(server, time, stop) -> None:
    server.write(holderIdentity="other", leaseDurationSeconds=15)
    draws = iter([0.0, 0.5, 1.0])
    tried: list[float] = []
    original = server.get

    def get(path: str) -> Mapping[str, object]:
        tried.append(time.seconds)
        if len(tried) == 4:
            stop.set()
        return original(path)

    server.get = get
    Election(
        server,
        namespace="ns",
        name="leader",
        identity="me",
        clock=time,
        now=time.now,
        draw=lambda: next(draws, 0),
    ).run(lambda: None, stop)
    assert tried == pytest.approx([1000.0, 1002.0, 1005.2, 1009.6])


def test_a_record_that_asks_for_years_is_waited_for_no_longer_than_a_minute(
    server, election, time, stop
) -> None:
    server.write(holderIdentity="nobody", leaseDurationSeconds=2147483647, renewTime="9998-01-01T00:00:00Z")
    led: list[float] = []
    time.at(120.0, stop.set)
    election.run(lambda: led.append(time.seconds), stop)
    assert 1060.0 <= led[0] <= 1064.0
