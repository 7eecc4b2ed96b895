"""What an HTTP client asks for: a pure parser of the head of a request (RFC 9112), and of what it accepts."""

import re
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD = 16 * 1024
"""Bytes of request line and header fields; Prometheus sends about 400."""

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class RequestError(Exception):
    """A request that is not served.

    Attributes:
        status: The status to answer with.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        """Takes the status, and one line for the client that does not repeat what it sent."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request, as far as we look at it.

    Attributes:
        method: ``GET`` or ``HEAD``.
        path: The target's path, without its query.
        accept: The Accept fields, joined by commas.
    """

    method: str
    path: str
    accept: str = ""


def parse(head: bytes) -> Request:
    """Parses everything before the first empty line.

    Raises:
        RequestError: It is no HTTP/1 request, or a method that we do not serve.
    """
    line, *fields = head.decode("latin-1").replace("\r\n", "\n").split("\n")
    words = line.split(" ")
    if len(words) != 3 or not TOKEN.fullmatch(words[0]) or not words[1].isprintable():
        raise RequestError(HTTPStatus.BAD_REQUEST, "the request line is not METHOD TARGET HTTP/1.1")
    method, target, version = words
    if not re.fullmatch(r"HTTP/\d\.\d", version):
        raise RequestError(HTTPStatus.BAD_REQUEST, "the request line is not METHOD TARGET HTTP/1.1")
    if not version.startswith("HTTP/1."):
        raise RequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1 is spoken here")
    accept = []
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon or not TOKEN.fullmatch(name):
            raise RequestError(HTTPStatus.BAD_REQUEST, "a header field is not NAME: VALUE")
        if name.lower() == "accept":
            accept.append(value.strip())
    if method not in ("GET", "HEAD"):
        raise RequestError(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are served")
    return Request(method, target.partition("?")[0], ",".join(accept))


def wants_openmetrics(accept: str) -> bool:
    """Tells whether an Accept header takes OpenMetrics 1.0, which Prometheus prefers over its older text."""
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        if kind != "application/openmetrics-text":
            continue
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        if given.get("version", "1.0.0") == "1.0.0" and not re.fullmatch(r"0(\.0*)?", given.get("q", "1")):
            return True
    return False
