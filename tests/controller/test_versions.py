"""When the API server is asked for its version."""

from datetime import datetime, timedelta
from typing import Self

import pytest
from cluster_model import START

from cluster.transport import ApiError, Object
from controller.versions import ApiServerVersion


class Server:
    """Answers in a script's words, and counts."""

    def __init__(self) -> None:
        self.answer: object = "v1.37.1"
        self.asked = 0
        self.now = START

    def limited(self, *, timeout: float) -> Self:
        return self

    def get(self, path: str) -> Object:
        assert path == "/version"
        self.asked += 1
        if isinstance(self.answer, ApiError):
            raise self.answer
        return {"gitVersion": self.answer}

    def clock(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def version(server: Server) -> ApiServerVersion:
    minute = timedelta(minutes=1)
    return ApiServerVersion(server, server.clock, every=minute, quiet=minute)  # type: ignore[arg-type]  # a stand-in


@pytest.mark.parametrize(("changed", "asked"), [(False, 2), (True, 10)])
def test_once_a_minute_and_more_often_while_it_changes(
    server: Server, version: ApiServerVersion, changed: bool, asked: int
):
    for _ in range(100):
        assert version.look(changed=changed) == "v1.37.1"
        server.pass_by(1)
    assert server.asked == asked


def test_at_once_after_a_watch_broke_off(server: Server, version: ApiServerVersion):
    assert version.look(changed=False) == "v1.37.1"
    server.answer = "v1.38.0"
    assert version.look(changed=False) == "v1.37.1"
    version.ask_again()
    assert version.look(changed=False) == "v1.38.0"


@pytest.mark.parametrize(
    "answer", [ApiError(403, "Forbidden", "no"), ApiError(0, "NoAnswer", "gone"), "", 7, None]
)
def test_what_cannot_be_told_leaves_what_was_heard(server: Server, version: ApiServerVersion, answer: object):
    server.answer = answer
    assert version.look(changed=False) == ""
    server.answer = "v1.37.1"
    server.pass_by(60)
    assert version.look(changed=False) == "v1.37.1"
    server.answer = answer
    server.pass_by(60)
    assert version.look(changed=False) == "v1.37.1"


def test_a_failure_is_tried_again_soon(server: Server, version: ApiServerVersion):
    server.answer = ApiError(503, "ServiceUnavailable", "starting")
    version.look(changed=False)
    server.answer = "v1.37.1"
    server.pass_by(10)
    assert version.look(changed=False) == "v1.37.1"


def test_a_clock_that_is_put_back_does_not_silence_it(server: Server, version: ApiServerVersion):
    version.look(changed=False)
    server.answer = "v1.38.0"
    server.pass_by(-3600)
    assert version.look(changed=False) == "v1.38.0"
