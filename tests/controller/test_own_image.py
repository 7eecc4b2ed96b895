"""The agents' image is the own pod's: learnt through whatever the API server answers at first."""

import threading

import pytest
from faultyapi import FaultyAPI, Responder, answer, status

from cluster.transport import Client, Credentials
from controller import main

POD = answer(200, {"spec": {"containers": [{"name": "controller", "image": "registry.example/it:1"}]}})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "RETRY", 0.01)
    monkeypatch.setenv("POD_NAME", "controller-0")


def image_after(*answers: Responder) -> str:
    with FaultyAPI(list(answers)) as server:
        client = Client(Credentials(server.url), attempts=1)
        return main.own_image(client, "vm-system", threading.Event())


@pytest.mark.parametrize(
    "refusal",
    [
        status(429, "TooManyRequests"),
        status(500, "InternalError"),
        status(503, "ServiceUnavailable"),
        status(403, "Forbidden"),
        status(401, "Unauthorized"),
    ],
    ids=["429", "500", "503", "403", "401"],
)
def test_a_refusal_that_passes_costs_time_alone(refusal: Responder):
    assert image_after(refusal, refusal, POD) == "registry.example/it:1"


def test_a_pod_that_is_not_there_has_no_image():
    assert image_after(status(404, "NotFound"), POD) == ""


def test_outside_of_a_pod_missing_rights_are_no_reason_to_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("POD_NAME")
    assert image_after(status(403, "Forbidden"), POD) == ""
