"""Connections to an API server: TLS, proxy, keep-alive, and which thread uses which one now."""

import contextlib
import os
import socket
import ssl
import sys
import threading

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from cluster.credentials import Credentials
from cluster.errors import CredentialsError

POOL_SIZE = 16
"""Idle connections that are kept: one for each thread that may call at once."""

busy: dict[int, HTTPConnection] = {}
"""The connection that each thread uses now, by thread identifier: what `cluster.wire.Wire.interrupt` cuts."""


class _Tracked(HTTPConnection):
    """A connection that says which thread uses it."""

    def connect(self) -> None:
        busy[threading.get_ident()] = self
        super().connect()

    def putrequest(
        self,
        method: str,
        url: str,
        skip_host: bool = False,  # noqa: FBT001, FBT002 - http.client's signature
        skip_accept_encoding: bool = False,  # noqa: FBT001, FBT002 - http.client's signature
    ) -> None:
        busy[threading.get_ident()] = self
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


def _through(proxy: Url) -> urllib3.ProxyManager:
    headers = urllib3.make_headers(proxy_basic_auth=proxy.auth) if proxy.auth else None
    return urllib3.ProxyManager(proxy.url, proxy_headers=headers)


def pool(credentials: Credentials) -> tuple[urllib3.HTTPConnectionPool, str]:
    """Returns the pool of connections to a server, and what comes before each path.

    Raises:
        CredentialsError: A certificate or a URL cannot be used.
    """
    url = _parse(credentials.server, "an API server")
    proxy = _parse(credentials.proxy, "a proxy") if credentials.proxy else None
    manager = _through(proxy) if proxy else urllib3.PoolManager()
    options = manager.connection_pool_kw
    options.update(maxsize=POOL_SIZE, socket_options=_socket_options())
    if url.scheme == "https":
        options["ssl_context"] = _tls_context(credentials)
        options["server_hostname"] = credentials.server_name or None
    made = manager.connection_from_url(f"{url.scheme}://{url.netloc}")
    made.ConnectionCls = _TrackedTLS if url.scheme == "https" else _Tracked
    # A proxy is asked for plain HTTP by whole URLs; for HTTPS it only opens a tunnel.
    base = f"http://{url.netloc}" if proxy and url.scheme == "http" else ""
    return made, base + (url.path or "").rstrip("/")


def cut(connection: HTTPConnection) -> None:
    """Ends a connection under the thread that uses it, whose call fails at once."""
    # Through a second descriptor, because shutdown() of an SSLSocket takes its TLS state away from the thread
    # that reads from it. An OSError says that the connection has ended by itself.
    with contextlib.suppress(OSError):
        if connection.sock is not None:
            with socket.socket(fileno=os.dup(connection.sock.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)
