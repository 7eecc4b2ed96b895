"""The agent's loop, step by step, with a probe, an API server and a clock that the tests move."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import reports
from prometheus_client import CollectorRegistry

from agent import decide
from agent.core import Agent, Clock
from agent.decide import OWN_BUDGET, Trigger
from agent.metrics import AgentMetrics
from agent.unanswered import UNAVAILABLE, Origin, ProbeError
from agent.wire import RunRequest
from cluster import node_preflight
from cluster.backoff import Backoff
from cluster.errors import ApiError
from cluster.node_preflight import NodePreflight, NodeStatus
from preflight.report import Report

PASSED = reports.report(reports.EVERY_STATUS[1], passed=True, node="what the probe thinks")
FAILED = reports.report(*reports.EVERY_STATUS)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
INTERVAL = 600.0


class World:
    """A probe, an API server and a clock."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.up = True
        self.problem = "probe: No such file or directory"
        self.answers: list[Report | ProbeError] = []
        self.requests: list[RunRequest] = []
        self.wish: NodePreflight | None = NodePreflight("worker-0", uid="u", resource_version="1")
        self.refusals: list[ApiError] = []
        self.published: list[tuple[bool, str, str]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.stop = threading.Event()
        self.metrics = AgentMetrics(version="1", python="3", kernel="6")
        self.registry = CollectorRegistry()
        self.registry.register(self.metrics)
        self.agent = Agent(
            where=Origin("worker-0", "1.0", "6.1", "x86_64", "b"),
            prober=self,
            desk=Desk(self),
            metrics=self.metrics,
            clock=Clock(lambda: NOW + self.seconds, lambda: self.seconds, lambda low, high: (low + high) / 2),
            interval=INTERVAL,
            retry=Backoff(base=1.0, cap=8.0, random=lambda: 1.0),
        )
        self.agent._wake = Ticks(self)  # type: ignore[assignment]  # time passes where the loop would sleep

    def run(self, request: RunRequest) -> Report:
        self.requests.append(request)
        self.meanwhile()
        answer = self.answers.pop(0) if self.answers else PASSED
        if isinstance(answer, ProbeError):
            raise answer
        return answer

    def ask(self, run_id: str, deadline: float | None = 120.0) -> None:
        assert self.wish is not None
        until = None if deadline is None else datetime.fromtimestamp(NOW + self.seconds + deadline, UTC)
        self.wish = replace(self.wish, run=node_preflight.RunRequest(run_id, "check", until))

    def step(self) -> None:
        self.agent.step(self.stop)

    def runs(self) -> dict[str, float]:
        values = {
            str(trigger): self.registry.get_sample_value("vm_preflight_runs_total", {"trigger": trigger})
            or 0.0
            for trigger in Trigger
        }
        return {trigger: value for trigger, value in values.items() if value}


class Desk:
    """The API server."""

    def __init__(self, world: World) -> None:
        self.world = world

    def current(self) -> NodePreflight | None:
        return self.world.wish

    def publish(self, report: Report, run_id: str) -> None:
        world = self.world
        if world.refusals:
            raise world.refusals.pop(0)
        assert world.wish is not None
        before = world.wish.status.run_id if world.wish.status else ""
        status = NodeStatus(
            run_id=run_id or before,
            passed=report.passed,
            mode=report.mode or "",
            results=tuple(result.to_dict() for result in report.results),
            boot_id=report.boot_id,
            kernel_version=report.kernel_version,
            agent_version=report.agent_version,
        )
        world.wish = replace(world.wish, status=status)
        world.published.append((report.passed, run_id, report.node))

    def problem(self) -> str:
        return ""


class Ticks(threading.Event):
    """Sleeping moves the clock."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        if not self.is_set():
            self.world.seconds += timeout + 0.001
        return self.is_set()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def settled(world: World) -> World:
    """A node whose first run was done and published."""
    world.step()
    world.published.clear()
    world.requests.clear()
    return world


def lost() -> ProbeError:
    return ProbeError(UNAVAILABLE, "probe: the probe ended the connection")


def test_runs_at_the_start_and_publishes_under_its_own_name(world: World) -> None:
    world.step()
    world.step()
    assert world.published == [(True, "", "worker-0")]
    assert world.runs() == {"Startup": 1.0}


def test_request_is_answered_by_exactly_one_write(settled: World) -> None:
    settled.ask("r1")
    for _ in range(3):
        settled.step()
    assert settled.published == [(True, "r1", "worker-0")]
    assert len(settled.requests) == 1
    assert settled.requests[0].timeout == pytest.approx(120 - decide.MARGIN)


def test_agent_that_starts_with_a_request_open_runs_once(world: World) -> None:
    world.ask("r1")
    world.step()
    world.step()
    assert world.published == [(True, "r1", "worker-0")]
    assert world.runs() == {"Requested": 1.0}


def test_configuration_is_handed_to_the_probe_without_names_that_are_none(settled: World) -> None:
    assert settled.wish is not None
    settled.wish = replace(
        settled.wish, use_emulation=True, ignored_checks=("Tun", "../x", "", "a\nb", "KVM")
    )
    settled.agent.wake(Trigger.SIGNAL)
    settled.step()
    (request,) = settled.requests
    assert (request.use_emulation, request.ignored) == (True, ("Tun", "KVM"))


@pytest.mark.parametrize("trigger", [Trigger.DEVICE, Trigger.SIGNAL, Trigger.INTERVAL])
def test_what_nobody_asked_for_is_written_when_it_changed(settled: World, trigger: Trigger) -> None:
    settled.agent.wake(trigger)
    settled.step()
    assert settled.published == []
    settled.agent.wake(trigger)
    settled.answers = [FAILED]
    settled.step()
    assert settled.published == [(False, "", "worker-0")]
    assert settled.runs() == {"Startup": 1.0, trigger: 2.0}


def test_runs_again_after_the_interval(settled: World) -> None:
    settled.seconds += INTERVAL - 1
    settled.step()
    assert settled.requests == []
    settled.seconds += 1
    settled.step()
    settled.step()
    assert settled.runs() == {"Startup": 1.0, "Interval": 1.0}


def test_skipped_node_is_idle_and_answers_at_once_when_it_is_not_any_more(world: World) -> None:
    assert world.wish is not None
    world.wish = replace(world.wish, skip=True)
    for trigger in (Trigger.DEVICE, Trigger.SIGNAL):
        world.agent.wake(trigger)
    world.ask("r1")
    world.seconds += 2 * INTERVAL
    world.step()
    assert (world.requests, world.published) == ([], [])
    assert world.registry.get_sample_value("vm_preflight_skipped") == 1
    world.wish = replace(world.wish, skip=False)
    world.step()
    world.step()
    assert world.published == [(True, "r1", "worker-0")]
    assert len(world.requests) == 1
    assert world.registry.get_sample_value("vm_preflight_skipped") == 0


def test_nothing_runs_before_the_watch_is_there(world: World) -> None:
    wish, world.wish = world.wish, None
    world.step()
    assert world.requests == []
    world.wish = wish
    world.step()
    assert len(world.requests) == 1


def test_node_without_an_object_runs_and_publishes_nothing_until_it_has_one(world: World) -> None:
    wish, world.wish = world.wish, NodePreflight("worker-0")
    world.step()
    world.step()
    assert (len(world.requests), world.published) == (1, [])
    world.wish = wish
    world.step()
    assert world.published == [(True, "", "worker-0")]


def test_object_that_was_made_anew_gets_a_verdict(settled: World) -> None:
    settled.wish = NodePreflight("worker-0", uid="another")
    settled.step()
    assert settled.published == [(True, "", "worker-0")]


def test_request_whose_status_was_wiped_is_answered_again(settled: World) -> None:
    settled.ask("r1")
    settled.step()
    assert settled.wish is not None
    settled.wish = replace(settled.wish, status=None)
    settled.step()
    assert [run_id for _, run_id, _ in settled.published] == ["r1", "r1"]


def test_event_during_a_run_makes_another(settled: World) -> None:
    settled.ask("r1")
    settled.meanwhile = lambda: settled.agent.wake(Trigger.DEVICE) if len(settled.requests) == 1 else None
    settled.step()
    settled.step()
    settled.step()
    assert settled.runs() == {"Startup": 1.0, "Requested": 1.0, "Device": 1.0}


def test_probe_that_dies_in_the_middle_is_asked_again_within_the_deadline(settled: World) -> None:
    settled.ask("r1")
    settled.answers = [lost(), lost(), PASSED]
    settled.step()
    assert settled.published == [(True, "r1", "worker-0")]
    timeouts = [request.timeout for request in settled.requests]
    assert timeouts == sorted(timeouts, reverse=True)
    assert len(timeouts) == 3


def test_probe_that_dies_each_time_is_told_of_before_the_deadline(settled: World) -> None:
    settled.ask("r1")
    settled.answers = [lost()] * 1000
    settled.step()
    assert settled.published == [(False, "r1", "worker-0")]
    assert settled.seconds <= 120
    assert len(settled.requests) < 30
    report = settled.agent.report()
    assert report is not None
    (result,) = report.results
    assert (result.check_name, result.reason) == ("Probe", "ProbeUnavailable")
    assert f"asked the probe {len(settled.requests)} times" in result.message


def test_probe_that_never_comes_is_told_of_and_seen_when_it_does(world: World) -> None:
    world.up = False
    world.step()
    assert world.requests == []
    assert world.published == [(False, "", "worker-0")]
    assert world.seconds == pytest.approx(OWN_BUDGET, abs=1)
    report = world.agent.report()
    assert report is not None
    assert "tried to reach the probe in 60 s: probe: No such file or directory" in report.results[0].message
    assert world.agent.problem() == "probe: No such file or directory"
    world.step()
    assert world.requests == []
    world.up = True
    world.agent.wake()
    world.step()
    world.step()
    assert len(world.requests) == 1
    assert world.published[-1] == (True, "", "worker-0")
    assert world.agent.problem() is None


def test_probe_that_was_lost_at_the_end_of_the_time_is_asked_when_it_is_back(settled: World) -> None:
    def fall_silent() -> None:
        settled.seconds += 120
        settled.up = False

    settled.ask("r1")
    settled.meanwhile = fall_silent
    settled.answers = [lost()]
    settled.step()
    assert settled.published == [(False, "r1", "worker-0")]
    settled.up, settled.meanwhile = True, lambda: None
    settled.step()
    assert settled.published[1:] == [(True, "", "worker-0")]


def test_skipped_node_sleeps_though_its_probe_came_back(world: World) -> None:
    world.up = False
    world.step()
    assert world.wish is not None
    world.up, world.wish = True, replace(world.wish, skip=True)
    world.step()
    world.agent._wake.clear()
    world.step()
    assert not world.agent._wake.is_set()
    assert world.requests == []


def test_request_takes_over_from_a_run_that_waits_for_the_probe(world: World) -> None:
    def fail_and_be_asked() -> None:
        world.ask("r1")
        world.meanwhile = lambda: None

    world.meanwhile = fail_and_be_asked
    world.answers = [lost(), PASSED]
    world.step()
    world.step()
    assert world.published == [(True, "r1", "worker-0")]
    assert world.runs() == {"Requested": 1.0}


def test_newer_request_takes_over_from_one_that_waits_for_the_probe(settled: World) -> None:
    settled.ask("r1")
    settled.answers = [lost(), PASSED]
    settled.meanwhile = lambda: settled.ask("r2")
    settled.step()
    settled.step()
    assert settled.published == [(True, "r2", "worker-0")]


def test_start_is_not_forgotten_for_a_request_that_was_withdrawn(world: World) -> None:
    def withdraw() -> None:
        assert world.wish is not None
        world.wish = replace(world.wish, run=None)
        world.meanwhile = lambda: None

    world.ask("r1")
    world.meanwhile = withdraw
    world.answers = [lost(), PASSED]
    world.step()
    world.step()
    assert world.published == [(True, "", "worker-0")]


def test_end_gives_up_a_run_that_waits_for_the_probe(settled: World) -> None:
    settled.ask("r1")
    settled.answers = [lost()]
    settled.meanwhile = settled.stop.set
    settled.step()
    assert settled.published == []


def refused(status: int) -> ApiError:
    return ApiError(status, "Reason", "message")


@pytest.mark.parametrize("status", [0, 401, 403, 409, 422, 429, 500, 503])
def test_write_that_fails_is_tried_again_without_running_again(settled: World, status: int) -> None:
    settled.ask("r1")
    settled.refusals = [refused(status), refused(status)]
    settled.step()
    settled.step()
    assert settled.published == []
    while not settled.published:
        settled.agent._wake.clear()
        settled.agent._wake.wait(settled.agent._pause())
        settled.step()
    assert settled.published == [(True, "r1", "worker-0")]
    assert len(settled.requests) == 1
    code = {"code": str(status)}
    assert settled.registry.get_sample_value("vm_preflight_publish_errors_total", code) == 2


def test_answer_that_could_not_be_written_gives_way_to_a_newer_request(settled: World) -> None:
    settled.ask("r1")
    settled.refusals = [refused(500)]
    settled.step()
    settled.ask("r2")
    settled.step()
    assert settled.published == [(True, "r2", "worker-0")]


def test_answer_to_a_run_that_was_withdrawn_is_dropped(settled: World) -> None:
    settled.ask("r1")
    settled.refusals = [refused(500)]
    settled.step()
    assert settled.wish is not None
    settled.wish = replace(settled.wish, run=None)
    settled.seconds += 60
    settled.step()
    assert settled.published == []


def test_answer_to_an_object_that_is_gone_waits_until_the_watch_shows_it(settled: World) -> None:
    settled.ask("r1")
    settled.refusals = [refused(404)] * 100
    settled.step()
    for _ in range(10):
        settled.agent._wake.clear()
        settled.agent._wake.wait(settled.agent._pause())
        settled.step()
    assert len(settled.requests) == 1
    assert settled.seconds > 30
    settled.refusals.clear()
    settled.wish = NodePreflight("worker-0")
    settled.step()
    settled.seconds += 60
    settled.step()
    assert settled.published == []


def test_answer_that_nobody_asked_for_is_dropped_with_its_object(settled: World) -> None:
    settled.agent.wake(Trigger.DEVICE)
    settled.answers = [FAILED]
    settled.refusals = [refused(404)]
    settled.step()
    wish, settled.wish = settled.wish, NodePreflight("worker-0")
    settled.seconds += 60
    settled.step()
    settled.wish = wish
    settled.step()
    assert settled.published == []


def test_view_shows_the_last_run(settled: World) -> None:
    settled.ask("r1")
    settled.answers = [FAILED]
    settled.step()
    view = settled.agent.view()
    assert (view.node, view.version, view.skipped, view.problem) == ("worker-0", "1.0", False, "")
    assert (view.trigger, view.run_id) == (Trigger.REQUESTED, "r1")
    assert view.report is not None
    assert view.report.results == FAILED.results


def test_loop_sleeps_until_woken_and_ends(world: World) -> None:
    world.agent._wake = threading.Event()
    thread = threading.Thread(target=world.agent.run, args=(world.stop,), daemon=True)
    thread.start()
    world.stop.set()
    world.agent.wake()
    thread.join(60)
    assert not thread.is_alive()
