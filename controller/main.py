"""The controller as a process: caches, election, the loop, and HTTP."""

import os
import socket
import threading
import uuid
from datetime import UTC, datetime
from importlib.metadata import version

import structlog

from cluster import shapes
from cluster.backoff import MAX_RETRY_AFTER
from cluster.events import EventRecorder
from cluster.lease import Election
from cluster.resources import CONTROLLER_NAME, LEASE_NAME, PODS, VM_RUNTIME_NAME
from cluster.transport import ApiError, Client
from controller import page
from controller.effects import Effects
from controller.fanout import server_is_away
from controller.lookout import Lookout
from controller.metrics import Metrics
from controller.news import News
from controller.observe import Observed
from controller.reconciler import Reconciler
from controller.rollout import Rollout
from controller.silence import Patience
from controller.versions import ApiServerVersion
from daemon import http
from daemon.address import Address

log = structlog.get_logger()

CALL_TIMEOUT = 10.0
"""Seconds without a byte after which a call is given up; the loop itself tries again."""
LEAVE = 0.3
"""Seconds that the loop has to end once it was told to, and again once its call was cut off."""
RETRY = 1.0
"""Seconds between two attempts to read the own pod."""


def run(
    client: Client,
    *,
    namespace: str,
    agent_manifest: str,
    agent_image: str | None,
    listen: Address,
    leader_election: bool,
    stop: threading.Event,
    patience: Patience | None = None,
) -> bool:
    """Runs the controller until it is stopped or loses the lease.

    Args:
        client: Calls to the API server; closed at the end.
        namespace: The namespace of the checks, the agents and the Lease.
        agent_manifest: File of the agents' DaemonSet.
        agent_image: The agents' image; None or empty for the own pod's.
        listen: Where metrics and the page are served.
        leader_election: Whether to wait for the Lease before anything is written.
        stop: Ends the controller.
        patience: How long nodes are waited for.

    Returns:
        True when it was stopped, False when the lease was lost: the process must end then.

    Raises:
        OSError: The address cannot be listened on; one line that names it.
    """
    metrics = Metrics(version("vm-preflight"))
    wake = threading.Event()
    limited = client.limited(timeout=CALL_TIMEOUT)
    patience = patience or Patience()
    api_server_version = ApiServerVersion(limited, _now, every=patience.versions, quiet=patience.quiet)

    def restarted(resource: str) -> None:
        metrics.watch_restarted(resource)
        api_server_version.ask_again()
        wake.set()

    election = Election(client, namespace=namespace, name=LEASE_NAME, identity=f"{own_name()}_{uuid.uuid4()}")
    observed = Observed(limited, namespace=namespace, on_change=wake.set, on_restart=restarted)
    leader = _Leader(
        limited.limited(may_write=lambda: election.leading) if leader_election else limited,
        observed=observed,
        metrics=metrics,
        namespace=namespace,
        agent_manifest=agent_manifest,
        agent_image=agent_image or "",
        api_server_version=api_server_version,
        patience=patience,
        wake=wake,
    )
    server = http.serve(
        listen,
        registry=metrics.registry,
        ready=observed.missing,
        page=lambda: _page(observed, leads=leader.leads),
    )
    try:
        log.info("serving", address=str(server.address), version=version("vm-preflight"))
        observed.start()
        if leader_election:
            return _lead_when_elected(election, leader, stop)
        leader.start()
        stop.wait()
        return True
    finally:
        leader.end()
        observed.stop()
        server.close()
        client.close()


class _Leader:
    """The loop in a thread of its own, from winning the lease to giving it back."""

    def __init__(
        self,
        client: Client,
        *,
        observed: Observed,
        metrics: Metrics,
        namespace: str,
        agent_manifest: str,
        agent_image: str,
        api_server_version: ApiServerVersion,
        patience: Patience,
        wake: threading.Event,
    ) -> None:
        self._client = client
        self._observed = observed
        self._metrics = metrics
        self._namespace = namespace
        self._manifest = agent_manifest
        self._image = agent_image
        self._api_server_version = api_server_version
        self._patience = patience
        self._wake = wake
        self._reconciler: Reconciler | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="reconciler", daemon=True)
        metrics.leading(leads=False)

    @property
    def leads(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Starts the loop; returns at once."""
        self._metrics.leading(leads=True)
        self._thread.start()

    def end(self) -> None:
        """Ends the loop: when this returns, nothing more is written. Harmless when repeated."""
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(LEAVE)
        if self._thread.is_alive():
            self._client.interrupt(self._thread)
            if self._reconciler is not None:
                self._reconciler.interrupt()
            self._thread.join(LEAVE)
        self._metrics.leading(leads=False)

    def _work(self) -> None:
        image = self._image or own_image(self._client, self._namespace, self._ended)
        while self._observed.missing() is not None and not self._ended.is_set():
            self._wake.wait(RETRY)
            self._wake.clear()
        rollout = Rollout(self._client, path=self._manifest, image=image, namespace=self._namespace)
        news = News(EventRecorder(self._client, CONTROLLER_NAME, instance=own_name()))
        effects = Effects(
            self._client,
            runtimes=self._observed.runtimes,
            checks=self._observed.checks,
            nodes=self._observed.nodes,
            preflights=self._observed.preflights,
            daemon_sets=self._observed.daemon_sets,
            rollout=rollout,
            news=news,
            metrics=self._metrics,
            namespace=self._namespace,
            now=_now,
        )
        lookout = Lookout(
            self._client,
            observed=self._observed,
            rollout=rollout,
            api_server_version=self._api_server_version,
            namespace=self._namespace,
            patience=self._patience,
            now=_now,
        )
        self._reconciler = Reconciler(
            self._client,
            lookout=lookout,
            observed=self._observed,
            effects=effects,
            news=news,
            metrics=self._metrics,
            wake=self._wake,
            patience=self._patience,
            now=_now,
        )
        self._reconciler.run(self._ended)


def _lead_when_elected(election: Election, leader: _Leader, stop: threading.Event) -> bool:
    """Stands by, leads, and gives the lease back only after the loop has ended."""
    give_back = threading.Event()

    def leave() -> None:
        stop.wait()
        leader.end()
        give_back.set()

    threading.Thread(target=leave, name="leave", daemon=True).start()
    return election.run(leader.start, give_back)


def own_name() -> str:
    """The own pod's name, or the machine's outside of a pod."""
    return os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or socket.gethostname()


def own_image(client: Client, namespace: str, stop: threading.Event) -> str:
    """Returns the image of the own pod's first container; empty outside of a pod, as for any other failure.

    An API server that is away or overloaded is asked again until it answers, or until ``stop`` is set; so is
    one that refuses a pod, whose rights may be on their way: an image that is wrong stays so.
    """
    while not stop.is_set():
        try:
            pod = client.get(PODS.path(own_name(), namespace=namespace))
        except ApiError as error:
            if server_is_away(error) or (error.status in (401, 403) and "POD_NAME" in os.environ):
                log.warning("the own pod cannot be read yet", error=str(error))
                stop.wait(max(RETRY, min(error.retry_after or 0.0, MAX_RETRY_AFTER)))
                continue
            log.warning(
                "the manifest's own image is used, because the own pod cannot be read", error=str(error)
            )
            return ""
        return next((shapes.text(one, "image") for one in shapes.items(pod, "spec", "containers")), "")
    return ""


def _page(observed: Observed, *, leads: bool) -> str:
    return page.render(
        observed.runtimes.seen().get(VM_RUNTIME_NAME),
        observed.checks.seen().values(),
        observed.nodes.seen().values(),
        observed.preflights.seen(),
        note="" if leads else "This controller stands by: another one leads.",
    )


def _now() -> datetime:
    return datetime.now(UTC)
