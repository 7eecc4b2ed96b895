"""What a daemon serves over HTTP: turns the head of a request into the bytes of an answer."""

from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from daemon.request import Request, RequestError, parse, wants_openmetrics

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TEXT = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Content = tuple[str, bytes]
"""A content type and a body."""

# The client library leaves these without types.
_text: Callable[[CollectorRegistry], bytes] = generate_latest
_openmetrics: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest

log = structlog.get_logger()


class Endpoints:
    """What is served: turns a request into an answer; knows nothing of sockets."""

    def __init__(
        self,
        *,
        registry: CollectorRegistry,
        ready: Callable[[], str | None],
        page: Callable[[], str],
        routes: Mapping[str, Callable[[], Content | None]],
    ) -> None:
        """Takes the same arguments as `serve`."""
        self._registry = registry
        self._ready = ready
        self._page = page
        self._routes = routes

    def answer(self, head: bytes) -> bytes:
        """Returns the bytes of the answer to the head of a request."""
        try:
            request = parse(head)
        except RequestError as error:
            return response(error.status, (TEXT, f"{error}\n".encode()))
        try:
            status, content = self._look_up(request)
        except Exception:
            # The one place that stands between a page that cannot be made and a daemon without endpoints.
            log.exception("request failed", path=request.path)
            status, content = HTTPStatus.INTERNAL_SERVER_ERROR, (TEXT, b"internal error; see the log\n")
        return response(status, content, with_body=request.method != "HEAD")

    def _look_up(self, request: Request) -> tuple[HTTPStatus, Content]:
        match request.path:
            case "/":
                return HTTPStatus.OK, (HTML, self._page().encode("utf-8", "replace"))
            case "/metrics" if wants_openmetrics(request.accept):
                return HTTPStatus.OK, (OPENMETRICS_TEXT, _openmetrics(self._registry))
            case "/metrics":
                return HTTPStatus.OK, (PROMETHEUS_TEXT, _text(self._registry))
            case "/healthz":
                return HTTPStatus.OK, (TEXT, b"ok\n")
            case "/readyz":
                reason = self._ready()
                if reason is None:
                    return HTTPStatus.OK, (TEXT, b"ok\n")
                return HTTPStatus.SERVICE_UNAVAILABLE, (TEXT, f"{reason}\n".encode("utf-8", "replace"))
            case path if path in self._routes:
                content = self._routes[path]()
                if content is None:
                    return HTTPStatus.SERVICE_UNAVAILABLE, (TEXT, b"not there yet\n")
                return HTTPStatus.OK, content
            case _:
                return HTTPStatus.NOT_FOUND, (TEXT, b"not found\n")


def response(status: HTTPStatus, content: Content, *, with_body: bool = True) -> bytes:
    """Returns the bytes of an HTTP/1.1 response that ends its connection."""
    kind, body = content
    fields = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        fields.append("Allow: GET, HEAD")
    return "\r\n".join([*fields, "", ""]).encode("latin-1") + (body if with_body else b"")
