"""Starts the agent: in a cluster, or alone on a host."""

import json
import os
import platform
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from agent import page, unanswered
from agent.core import Agent, Clock, Desk, Standalone
from agent.decide import Trigger
from agent.dialing import SPAWN, Child, to_socket
from agent.link import Link
from agent.metrics import AgentMetrics
from cluster.backoff import Backoff
from daemon import http, lifecycle
from daemon.address import Address
from daemon.endpoints import Content
from preflight.version import version

if TYPE_CHECKING:
    from cluster.transport import Client

CLUSTER_INTERVAL = 600.0
"""Seconds between runs that nobody asked for, in a cluster."""

STANDALONE_INTERVAL = 300.0
"""The same, alone on a host."""

REPORT_PATH = "/report"

log = structlog.get_logger()


def run_in_cluster(
    client: "Client",
    *,
    node: str,
    probe: str,
    spawn: Sequence[str],
    listen: Address,
    interval: float = CLUSTER_INTERVAL,
) -> int:
    """Serves a node of a cluster until SIGTERM.

    Args:
        client: Calls to the API server.
        node: The node's name.
        probe: Path of the probe's socket, or ``spawn``.
        spawn: Command that starts a probe, without its ``--socket``.
        listen: Where to serve HTTP.
        interval: Seconds between runs that nobody asked for.

    Returns:
        The exit status.

    Raises:
        OSError: The address cannot be listened on; one line.
    """
    # A host without a cluster needs none of it: 3 MiB.
    from agent.cluster_desk import ClusterDesk

    parts = _Parts(node, probe, spawn, interval)
    desk = ClusterDesk(client, node, on_change=parts.wake)
    return parts.serve(desk, listen, start=desk.start, stop=desk.stop)


def run_standalone(
    *,
    probe: str,
    spawn: Sequence[str],
    listen: Address,
    interval: float = STANDALONE_INTERVAL,
    node: str = "",
) -> int:
    """Serves a host without a cluster until SIGTERM: runs, metrics, page, and the last report as JSON.

    Args:
        probe: Path of the probe's socket, or ``spawn``.
        spawn: Command that starts a probe, without its ``--socket``.
        listen: Where to serve HTTP.
        interval: Seconds between runs.
        node: The host's name; by default what it calls itself.

    Returns:
        The exit status.

    Raises:
        OSError: The address cannot be listened on; one line.
    """
    parts = _Parts(node or os.uname().nodename, probe, spawn, interval, links=(REPORT_PATH,))

    def report() -> Content | None:
        last = parts.agent and parts.agent.report()
        return ("application/json", (json.dumps(last.to_dict(), indent=2) + "\n").encode()) if last else None

    return parts.serve(Standalone(), listen, routes={REPORT_PATH: report})


class _Parts:
    """What both ways of running have: the link to the probe, the loop, the endpoints."""

    def __init__(
        self, node: str, probe: str, spawn: Sequence[str], interval: float, *, links: tuple[str, ...] = ()
    ) -> None:
        self._where = unanswered.origin(node, version())
        self._interval = interval
        self._links = links
        self._metrics = AgentMetrics(
            version=self._where.agent_version,
            python=platform.python_version(),
            kernel=self._where.kernel_version,
        )
        self._child = Child(spawn) if probe == SPAWN else None
        self._link = Link(
            self._child or to_socket(probe),
            where="the probe's process" if self._child else f"socket {probe}",
            backoff=Backoff(base=0.1, cap=2.0, random=random.random),
            monotonic=time.monotonic,
            on_device=self._device_changed,
            on_state=self._probe_changed,
        )
        self.agent: Agent | None = None

    def wake(self, trigger: Trigger | None = None) -> None:
        if self.agent is not None:
            self.agent.wake(trigger)

    def serve(
        self,
        desk: Desk,
        listen: Address,
        *,
        start: Callable[[], None] = lambda: None,
        stop: Callable[[], None] = lambda: None,
        routes: Mapping[str, Callable[[], Content | None]] | None = None,
    ) -> int:
        agent = self.agent = Agent(
            where=self._where,
            prober=self._link,
            desk=desk,
            metrics=self._metrics,
            clock=Clock(time.time, time.monotonic, random.uniform),
            interval=self._interval,
            retry=Backoff(base=0.5, cap=10.0, random=random.random),
            links=self._links,
        )
        registry = CollectorRegistry()
        registry.register(self._metrics)
        with lifecycle.stopping(hangup=lambda: self.wake(Trigger.SIGNAL)) as stopping:
            server = http.serve(
                listen,
                registry=registry,
                ready=agent.problem,
                page=lambda: page.render(agent.view()),
                routes=routes,
            )
            log.info("serving", address=str(server.address), node=self._where.node)
            self._link.start()
            start()
            loop = threading.Thread(target=agent.run, args=(stopping,), name="agent", daemon=True)
            loop.start()
            stopping.wait()
            agent.wake()
            # A run under way is given up: its answer is asked for again by whoever starts next.
            self._link.stop()
            if self._child is not None:
                self._child.close()
            stop()
            loop.join(timeout=0.2)
            server.close()
        return 0

    def _device_changed(self, change: str) -> None:
        log.info("device changed", change=change)
        self.wake(Trigger.DEVICE)

    def _probe_changed(self, up: bool) -> None:  # noqa: FBT001 -- a state, and nothing else, is told
        self._metrics.set_probe_up(up=up)
        self.wake()
