import uuid
from datetime import UTC, datetime, timedelta

import pytest
from faultyapi import FaultyAPI, answer, reset, status

from cluster.events import EventRecorder, event_name, reference
from cluster.resources import CHECKS, NODES
from cluster.transport import Client, Credentials

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def recorder(server: FaultyAPI) -> EventRecorder:
    return EventRecorder(
        Client(Credentials(server.url)), "vm-preflight", instance="pod-1", now=lambda: MOMENT
    )


def test_an_event_in_its_objects_namespace() -> None:
    check = reference(CHECKS, "check-1", namespace="vm-system", uid="u1")
    with FaultyAPI([answer(201, {})]) as server:
        assert recorder(server).record(check, "Warning", "PreflightFailed", "n1: KVM:\nno device") is True
        [request] = server.requests
    assert request.path == "/api/v1/namespaces/vm-system/events"
    assert request.body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "check-1.1886caf21ca08a70", "namespace": "vm-system"},
        "involvedObject": {
            "apiVersion": "vm.cluster.gke.io/v1",
            "kind": "VMRuntimePreflightCheck",
            "name": "check-1",
            "namespace": "vm-system",
            "uid": "u1",
        },
        "type": "Warning",
        "reason": "PreflightFailed",
        "message": "n1: KVM: no device",
        "source": {"component": "vm-preflight", "host": "pod-1"},
        "reportingComponent": "vm-preflight",
        "reportingInstance": "pod-1",
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
    }


def test_the_event_of_a_cluster_scoped_object_goes_to_default() -> None:
    with FaultyAPI([answer(201, {})]) as server:
        recorder(server).record(reference(NODES, "n1"), "Normal", "NodeReadyForVMs", "x" * 5000)
        [request] = server.requests
    assert request.path == "/api/v1/namespaces/default/events"
    assert request.body["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": "n1"}
    assert len(request.body["message"]) <= 1024


def test_the_same_news_within_ten_minutes_is_counted() -> None:
    moments = [MOMENT + timedelta(minutes=minutes) for minutes in (0, 9, 18, 19, 30)]
    clock = iter(moments)
    answers = [answer(201, {}), answer(200, {}), answer(200, {}), answer(201, {}), answer(201, {})]
    with FaultyAPI(answers) as server:
        told = EventRecorder(Client(Credentials(server.url)), "vm-preflight", now=lambda: next(clock))
        for message in ("gone", "gone", "gone", "another", "gone"):
            assert told.record(reference(NODES, "n1", uid="u"), "Warning", "NodeNotReadyForVMs", message)
    first = f"/api/v1/namespaces/default/events/{event_name('n1', MOMENT)}"
    assert [(one.method, one.path) for one in server.requests] == [
        ("POST", "/api/v1/namespaces/default/events"),
        ("PATCH", first),
        ("PATCH", first),
        ("POST", "/api/v1/namespaces/default/events"),
        ("POST", "/api/v1/namespaces/default/events"),  # twelve minutes after it was counted last
    ]
    assert server.requests[2].body == {"count": 3, "lastTimestamp": "2026-01-02T03:22:05Z"}


def test_an_event_that_is_gone_is_written_anew() -> None:
    with FaultyAPI([answer(201, {}), status(404, "NotFound"), answer(201, {})]) as server:
        told = recorder(server)
        assert told.record(reference(NODES, "n1"), "Warning", "NodeNotReadyForVMs", "x")
        assert told.record(reference(NODES, "n1"), "Warning", "NodeNotReadyForVMs", "x")
        assert [one.method for one in server.requests] == ["POST", "PATCH", "POST"]


@pytest.mark.parametrize(
    "fault", [status(403, "Forbidden", "no right"), status(429, "TooManyRequests"), reset]
)
def test_a_lost_event_is_logged_and_no_more(fault, caplog: pytest.LogCaptureFixture) -> None:
    with FaultyAPI([fault]) as server:
        assert recorder(server).record(reference(NODES, "n1"), "Normal", "NodeReadyForVMs", "x") is False
        assert len(server.requests) == 1
    assert "the Event NodeReadyForVMs on n1 is lost" in caplog.text


@pytest.mark.parametrize("name", ["x" * 250, "Hostile Name", "a/../b", "é"])
def test_a_name_that_cannot_be_formed_is_random(name: str) -> None:
    assert uuid.UUID(event_name(name, MOMENT)).version == 4
