"""Credentials from a kubeconfig file, exec plugins and OIDC included, as the official client reads them.

The only module that imports the ``kubernetes`` package, and only when it is called: the package costs some
20 MiB, which the agent in its pod does not spend.
"""

import logging
import os
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cluster.credentials import Credentials
from cluster.errors import CredentialsError, one_line


def load(path: str | None = None, *, context: str | None = None) -> Credentials:
    """Reads a context of a kubeconfig.

    Args:
        path: The file; None for ``$KUBECONFIG``, which may list several, and then ``~/.kube/config``.
        context: The context's name; None for the current one.

    Returns:
        Credentials whose ``authorization`` renews a token of an exec plugin or of OIDC when it expires.

    Raises:
        CredentialsError: The file is missing or cannot be used; one line.
    """
    from kubernetes import config
    from kubernetes.client import Configuration
    from yaml import YAMLError

    files = _files(path)
    configuration = Configuration()
    configuration.proxy = ""
    heard = _Heard()
    logging.getLogger().addHandler(heard)
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]  # the package is typed in part only
            files, context=context, client_configuration=configuration, persist_config=False
        )
    except (config.ConfigException, OSError, ValueError, YAMLError) as error:
        if context and "contexts list" in str(error):
            raise CredentialsError(f"{files}: there is no context {one_line(context)!r}") from error
        raise CredentialsError(f"{files}: not a usable kubeconfig: {one_line(str(error))}") from error
    except Exception as error:  # the package answers junk with whatever comes to it
        raise CredentialsError(f"{files}: not a usable kubeconfig: it has another form") from error
    finally:
        logging.getLogger().removeHandler(heard)

    def authorization() -> str:
        return configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or ""

    anonymous = not authorization() and not configuration.cert_file
    if anonymous and heard.said:
        raise CredentialsError(f"{files}: no credentials: {one_line(heard.said)}")
    return Credentials(
        server=configuration.host,
        ca_file=configuration.ssl_ca_cert or "",
        cert_file=configuration.cert_file or "",
        key_file=configuration.key_file or "",
        authorization=authorization if authorization() else None,
        verify=bool(configuration.verify_ssl),
        server_name=configuration.tls_server_name or "",
        proxy=configuration.proxy or _proxy_of_environment(configuration.host),
    )


def contexts(path: str | None = None) -> list[str]:
    """Returns the names of a kubeconfig's contexts.

    Args:
        path: As for `load`.

    Raises:
        CredentialsError: The file is missing or cannot be used; one line.
    """
    from kubernetes import config

    files = _files(path)
    try:
        found, _ = config.list_kube_config_contexts(files)  # type: ignore[no-untyped-call]  # it has no types
        return [str(one["name"]) for one in found]
    except Exception as error:  # as above
        raise CredentialsError(f"{files}: not a usable kubeconfig") from error


def _files(path: str | None) -> str:
    files = path or os.environ.get("KUBECONFIG") or "~/.kube/config"
    if not any(os.path.exists(os.path.expanduser(file)) for file in files.split(os.pathsep) if file):
        raise CredentialsError(f"{files}: no such kubeconfig file")
    return files


class _Heard(logging.Handler):
    """Keeps the last error that is logged: a failed exec plugin is logged by the package and nothing else."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.said = record.getMessage()


def _proxy_of_environment(server: str) -> str:
    """Returns the proxy that kubectl would use: Go's ``ProxyFromEnvironment`` leaves out loopback."""
    try:
        url = urlsplit(server)
    except ValueError:  # no URL, which whoever connects to it tells
        return ""
    host = url.hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1" or proxy_bypass(host):
        return ""
    return getproxies().get(url.scheme, "")
