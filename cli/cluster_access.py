"""What the commands for a cluster share: the options that name it, a client, and errors as one line."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from cli.options import NotDoneError, Parser, RefusedError, UsageError
from cli.refusals import as_kubectl_says
from cluster.errors import NO_ANSWER, UNREACHABLE
from cluster.resources import NAMESPACE
from cluster.transport import ApiError, Client

__all__ = [
    "FAILED",
    "NO_VERDICT",
    "NotDoneError",
    "cluster_options",
    "connection",
    "is_away",
    "not_installed",
    "say",
    "wait_until",
]

KUBECONFIG_HELP = "credentials for the cluster; else $KUBECONFIG, then ~/.kube/config"
FAILED = 1
NO_VERDICT = 3
"""Exit status where the cluster gave no answer in time."""


def cluster_options(parser: Parser) -> None:
    """Adds ``--kubeconfig`` and ``--context``; without them, what kubectl would take counts."""
    parser.option("--kubeconfig", str, default="", metavar="FILE", help=KUBECONFIG_HELP)
    parser.option("--context", str, default="", metavar="NAME", help="context of the kubeconfig")


def not_installed() -> NotDoneError:
    """Returns the error for a cluster without one of our kinds, our namespace or our VMRuntime."""
    return NotDoneError(
        "vm-preflight is not installed in this cluster, or not all of it: install it "
        f"(kubectl apply -k deploy) and see that its controller runs (kubectl get pods -n {NAMESPACE})"
    )


@contextmanager
def connection(options: Namespace) -> Iterator[Client]:
    """Yields a client of the cluster that `cluster_options` name.

    Raises:
        UsageError: The kubeconfig cannot be used.
        NotDoneError: The API server refused something or did not answer.
    """
    from cluster.errors import CredentialsError
    from cluster.kubeconfig import load

    try:
        client = Client(load(options.kubeconfig or None, context=options.context or None))
    except CredentialsError as error:
        raise UsageError(str(error)) from error
    try:
        yield client
    except ApiError as error:
        raise RefusedError(as_kubectl_says(error)) from error
    finally:
        client.close()


def wait_until(done: Callable[[], bool], *, timeout: float, interval: float = 0.5) -> bool:
    """Asks again and again until ``done``, for at most ``timeout`` seconds.

    An API server that does not answer meanwhile is told on standard error and asked again. So is one that
    refuses when it is back: it answers a moment before it has read its roles.

    Returns:
        Whether it was done in time.

    Raises:
        ApiError: The API server's refusal.
    """
    end = monotonic() + timeout
    told = False
    while True:
        try:
            if done():
                return True
            told = False
        except ApiError as error:
            if not (is_away(error) or (told and error.forbidden)):
                raise
            if not told:
                say(f"{as_kubectl_says(error)}; trying again")
            told = True
        if monotonic() >= end:
            return False
        sleep(interval)


def is_away(error: ApiError) -> bool:
    """Whether the API server may answer the same question later."""
    return error.reason in (UNREACHABLE, NO_ANSWER) or error.status == 429 or error.status >= 500


def say(text: str) -> None:
    """Prints progress for a person, on standard error, in place of a bar that may stand there."""
    print(("\r\033[K" if sys.stderr.isatty() else "") + text, file=sys.stderr, flush=True)
