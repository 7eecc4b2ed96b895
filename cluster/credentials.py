"""Who we are to the API server, and whom we take for it."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cluster.errors import CredentialsError

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where the kubelet mounts a pod's token and CA (kubernetes.io: Accessing the Kubernetes API from a Pod)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach an API server.

    Attributes:
        server: Base URL; may have a path, as servers behind a gateway do.
        ca_file: PEM file of the authorities that sign the server's certificate; empty for the system's.
        cert_file: PEM file of a client certificate; empty for none.
        key_file: PEM file of its key.
        authorization: Returns the current ``Authorization`` header; None for none. Asked before every call,
            because tokens expire.
        verify: Whether the server's certificate is verified.
        server_name: Name that the server's certificate must have; empty for the URL's host.
        proxy: URL of an HTTP proxy; empty for none.
    """

    server: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    authorization: Callable[[], str] | None = None
    verify: bool = True
    server_name: str = ""
    proxy: str = ""


class TokenFile:
    """A bearer token in a file that somebody renews, as the kubelet does.

    The file is read again when its modification time or inode changed: one ``stat(2)`` a call.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._header = ""

    def __call__(self) -> str:
        """Returns the ``Authorization`` header.

        Raises:
            OSError: The file cannot be read.
            CredentialsError: It holds no token.
        """
        with self._lock:
            stat = os.stat(self._path)
            seen = (stat.st_mtime_ns, stat.st_ino)
            if seen != self._seen:
                with open(self._path, encoding="ascii", errors="replace") as file:
                    token = file.read().strip()
                if not token or not token.isascii() or not token.isprintable() or " " in token:
                    raise CredentialsError(f"{self._path}: holds no bearer token")
                self._header, self._seen = f"Bearer {token}", seen
            return self._header


def in_cluster(environ: Mapping[str, str] = os.environ, *, directory: str = SERVICE_ACCOUNT) -> Credentials:
    """Returns the credentials of the pod that we run in.

    Args:
        environ: Environment with ``KUBERNETES_SERVICE_HOST`` and ``KUBERNETES_SERVICE_PORT``.
        directory: Where ``token`` and ``ca.crt`` are mounted.

    Raises:
        CredentialsError: We do not run in a pod, or no token is mounted.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise CredentialsError(
            "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"
        )
    token_file, ca_file = os.path.join(directory, "token"), os.path.join(directory, "ca.crt")
    token = TokenFile(token_file)
    try:
        token()
        os.stat(ca_file)
    except OSError as error:
        raise CredentialsError(f"{error.filename}: {error.strerror}") from error
    netloc = f"[{host}]" if ":" in host else host
    return Credentials(server=f"https://{netloc}:{port}", ca_file=ca_file, authorization=token)
