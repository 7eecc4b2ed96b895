"""One HTTP exchange with the API server: authentication, time-outs, and an end from another thread.

Nothing is repeated here and nothing is decoded; `cluster.transport` does both.
"""

import contextlib
import re
import ssl
import threading
from collections.abc import Iterator, Mapping

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError
from urllib3.exceptions import SSLError as TLSError

from cluster.connections import busy, cut, pool
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


class Wire:
    """Connections to one API server, shared by threads.

    Args:
        credentials: Whom to talk to and who we are.
        user_agent: What the server's audit log shows.

    Raises:
        CredentialsError: A certificate or the URL cannot be used.
    """

    def __init__(self, credentials: Credentials, *, user_agent: str) -> None:
        self._pool, self._prefix = pool(credentials)
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
            read_timeout: Seconds without a byte after which the connection is given up; the time that it took
                to connect counts into the wait for the first one.

        Raises:
            ApiError: `CLOSED`, `UNREACHABLE`, `UNTRUSTED`, `NO_CREDENTIALS` or `NO_ANSWER`; the last also
                where the body breaks off.
        """
        thread = threading.get_ident()
        sent = {"User-Agent": self._user_agent, **headers, **self._authenticate(request)}
        response: urllib3.BaseHTTPResponse | None = None
        complete = False
        # A thread may call while it stands in the middle of a watch: that one is its connection again then.
        outer, nested = busy.pop(thread, None), thread in self._callers
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
            busy.pop(thread, None)
            if outer is not None:
                busy[thread] = outer
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
        connection = busy.get(thread)
        if thread in self._callers and connection is not None:
            cut(connection)

    def wait(self, seconds: float) -> bool:
        """Waits; returns True at once when the object is closed."""
        return self._closed.wait(seconds)

    def close(self) -> None:
        """Ends all calls in progress and refuses new ones."""
        self._closed.set()
        for thread in tuple(self._callers):
            self.interrupt(thread)
        self._pool.close()


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
