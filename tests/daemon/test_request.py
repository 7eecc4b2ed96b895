"""Heads of requests, good and junk, and the choice of OpenMetrics."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.request import Request, RequestError, parse, wants_openmetrics


def test_reads_method_path_and_accept() -> None:
    head = b"GET /metrics?name=x HTTP/1.1\r\nHost: a\r\nACCEPT: text/plain\r\naccept:application/json "
    assert parse(head) == Request("GET", "/metrics", "text/plain,application/json")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", HTTPStatus.BAD_REQUEST),
        (b"GET /", HTTPStatus.BAD_REQUEST),
        (b"GET  / HTTP/1.1", HTTPStatus.BAD_REQUEST),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nno colon", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\n: no name", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/x", HTTPStatus.BAD_REQUEST),
        (b"PRI * HTTP/2.0", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        (b"POST / HTTP/1.1", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"DELETE /metrics HTTP/1.1", HTTPStatus.METHOD_NOT_ALLOWED),
    ],
)
def test_refuses_with_the_fitting_status(head: bytes, status: HTTPStatus) -> None:
    with pytest.raises(RequestError) as caught:
        parse(head)
    assert caught.value.status is status


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(head: bytes) -> None:
    try:
        answer: Request | HTTPStatus = parse(head)
    except RequestError as error:
        answer = error.status
    if isinstance(answer, HTTPStatus):
        assert answer >= 400
    else:
        assert answer.method in ("GET", "HEAD")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("text/html, Application/OpenMetrics-Text;version=1.0.0;q=0.5", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=99", False),
        ("application/openmetrics-text;q=0", False),
        (
            "application/openmetrics-text;version=0.0.1;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5",
            True,
        ),
    ],
)
def test_openmetrics_where_the_client_takes_it(accept: str, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted
