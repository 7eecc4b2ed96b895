"""One HTTP exchange with the API server: pooled connections, TLS, time-outs, and an end from another thread.

Nothing is repeated here and nothing is decoded; `cluster.transport` does both.
"""

import contextlib
import os
import re
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
    ProxyError,
)
from urllib3.exceptions import SSLError as TLSError
from urllib3.util import Url, parse_url

from cluster.credentials import Credentials
from cluster.errors import (
    CLOSED,
    NO_ANSWER,
    NO_CREDENTIALS,
    UNREACHABLE,
    UNTRUSTED,
    ApiError,
    CredentialsError,
)

CONNECT_TIMEOUT = 5.0
"""Seconds for the TCP connection and the TLS handshake, each."""

POOL_SIZE = 16
"""Idle connections that are kept: one for each thread that may call at once."""

_busy: dict[int, HTTPConnection] = {}
"""The connection that each thread uses now, by thread identifier: what `Wire.interrupt` cuts."""


class _Tracked(HTTPConnection):
    """A connection that says which thread uses it."""

    def connect(self) -> None:
        _busy[threading.get_ident()] = self
        super().connect()

    def putrequest(
        self,
        method: str,
        url: str,
        skip_host: bool = False,  # noqa: FBT001, FBT002 - http.client's signature
        skip_accept_encoding: bool = False,  # noqa: FBT001, FBT002 - http.client's signature
    ) -> None:
        _busy[threading.get_ident()] = self
        super().putrequest(method, url, skip_host, skip_accept_encoding)


class _TrackedTLS(_Tracked, HTTPSConnection):
    """The same over TLS."""


def _socket_options() -> list[tuple[int, int, int]]:
    """Probes an idle connection after 15 s: a peer that is gone without a word is noticed within a minute."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    if sys.platform == "linux":
        options += [
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        ]
    return options


def _tls_context(credentials: Credentials) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=credentials.ca_file or None)
    except OSError as error:
        raise CredentialsError(
            f"{credentials.ca_file}: not usable as certificate authority: {error}"
        ) from error
    # Python 3.13 sets this by default; authorities made by older cluster installers lack the extension that
    # it asks for, and every other client accepts them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not credentials.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if credentials.cert_file:
        try:
            context.load_cert_chain(credentials.cert_file, credentials.key_file or None)
        except OSError as error:
            raise CredentialsError(
                f"{credentials.cert_file}: not usable as client certificate with its key: {error}"
            ) from error
    return context


def _parse(text: str, what: str) -> Url:
    try:
        url = parse_url(text)
    except LocationParseError:
        url = Url()
    if url.scheme not in ("http", "https") or not url.host:
        raise CredentialsError(f"{text!r} is not the URL of {what}")
    return url


def _pool(credentials: Credentials) -> tuple[urllib3.HTTPConnectionPool, str]:
    url = _parse(credentials.server, "an API server")
    proxy = _parse(credentials.proxy, "a proxy") if credentials.proxy else None
    manager = urllib3.ProxyManager(proxy.url) if proxy else urllib3.PoolManager()
    options = manager.connection_pool_kw
    options.update(maxsize=POOL_SIZE, socket_options=_socket_options())
    if url.scheme == "https":
        options["ssl_context"] = _tls_context(credentials)
        options["server_hostname"] = credentials.server_name or None
    pool = manager.connection_from_url(f"{url.scheme}://{url.netloc}")
    pool.ConnectionCls = _TrackedTLS if url.scheme == "https" else _Tracked
    # A proxy is asked for plain HTTP by whole URLs; for HTTPS it only opens a tunnel.
    base = f"http://{url.netloc}" if proxy and url.scheme == "http" else ""
    return pool, base + (url.path or "").rstrip("/")


class Wire:
    """Connections to one API server, shared by threads.

    Args:
        credentials: Whom to talk to and who we are.
        user_agent: What the server's audit log shows.

    Raises:
        CredentialsError: A certificate or the URL cannot be used.
    """

    def __init__(self, credentials: Credentials, *, user_agent: str) -> None:
        self._pool, self._prefix = _pool(credentials)
        self._server = credentials.server
        self._authorization = credentials.authorization
        self._user_agent = user_agent
        self._callers: set[int] = set()
        self._closed = threading.Event()

    @contextlib.contextmanager
    def exchange(
        self,
        method: str,
        target: str,
        *,
        request: str,
        body: bytes | None,
        headers: Mapping[str, str],
        read_timeout: float,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Sends a request and gives its response, headers read and body not.

        Args:
            method: HTTP method.
            target: Path and query.
            request: What an error's message calls it.
            body: Request body.
            headers: Headers beside those of authentication.
            read_timeout: Seconds without a byte after which the connection is given up. The headers of the
                answer are there within this time, all in all, and a TLS handshake's.

        Raises:
            ApiError: `CLOSED`, `UNREACHABLE`, `UNTRUSTED`, `NO_CREDENTIALS` or `NO_ANSWER`; the last also
                where the body breaks off.
        """
        thread = threading.get_ident()
        sent = {"User-Agent": self._user_agent, **headers, **self._authenticate(request)}
        response: urllib3.BaseHTTPResponse | None = None
        complete = False
        # A thread may call while it stands in the middle of a watch: that one is its connection again then.
        outer, nested = _busy.pop(thread, None), thread in self._callers
        self._callers.add(thread)
        try:
            if self._closed.is_set():
                raise ApiError(0, CLOSED, "this client is closed", request=request)
            response = self._pool.urlopen(
                method,
                self._prefix + target,
                body=body,
                headers=sent,
                timeout=urllib3.Timeout(
                    connect=min(CONNECT_TIMEOUT, read_timeout), read=read_timeout, total=read_timeout
                ),
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )
            yield response
            complete = True
        except (HTTPError, OSError) as error:
            if self._closed.is_set():
                raise ApiError(0, CLOSED, "this client was closed", request=request) from error
            message = f"{self._server}: {_describe(error)}"
            raise ApiError(0, _reason(error), message, request=request) from error
        finally:
            _busy.pop(thread, None)
            if outer is not None:
                _busy[thread] = outer
            if not nested:
                self._callers.discard(thread)
            if response is not None:
                # Only a connection whose answer was read to its end can be used again.
                (response.release_conn if complete else response.close)()

    def _authenticate(self, request: str) -> dict[str, str]:
        try:
            header = self._authorization() if self._authorization else ""
        except (OSError, CredentialsError) as error:
            raise ApiError(0, NO_CREDENTIALS, str(error), request=request) from error
        return {"Authorization": header} if header else {}

    def interrupt(self, thread: int) -> None:
        """Cuts the connection that a thread is using through this object, so that its call fails at once."""
        connection = _busy.get(thread)
        if thread in self._callers and connection is not None:
            _cut(connection)

    def wait(self, seconds: float) -> bool:
        """Waits; returns True at once when the object is closed."""
        return self._closed.wait(seconds)

    def close(self) -> None:
        """Ends all calls in progress and refuses new ones."""
        self._closed.set()
        for thread in tuple(self._callers):
            self.interrupt(thread)
        self._pool.close()


def _cut(connection: HTTPConnection) -> None:
    # Through a second descriptor, because shutdown() of an SSLSocket takes its TLS state away from the thread
    # that reads from it. An OSError says that the connection has ended by itself.
    with contextlib.suppress(OSError):
        if connection.sock is not None:
            with socket.socket(fileno=os.dup(connection.sock.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    if isinstance(error, TLSError) and isinstance(error.args[0], ssl.SSLCertVerificationError):
        return UNTRUSTED
    unsent = isinstance(error, NewConnectionError | ConnectTimeoutError | ProxyError)
    return UNREACHABLE if unsent else NO_ANSWER


def _describe(error: Exception) -> str:
    """Leaves out urllib3's own objects: ``HTTPConnection(host='…', port=…): …`` and the like."""
    if len(error.args) == 2 and isinstance(cause := error.args[1], Exception):
        return str(error.args[0]).replace(repr(cause), "") + f" {cause}"
    text = str(error) or type(error).__name__
    return re.sub(r"^\w+\(host=[^)]*\): ", "", text)
