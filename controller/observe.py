"""The controller's informers: what it keeps of the cluster, and how it hears that something changed."""

import functools
import random
from collections.abc import Callable, Iterable
from dataclasses import replace

from cluster import shapes
from cluster.backoff import Backoff
from cluster.informer import Informer
from cluster.resources import AGENT_NAME, CHECKS, DAEMON_SETS, NODE_PREFLIGHTS, NODES, PODS, VM_RUNTIMES
from cluster.transport import Client
from controller import objects, results
from controller.caches import Cache, Identity
from controller.objects import AgentPod, Check, DaemonSet, Node, Runtime, WireObject

BACKOFF = Backoff(base=0.5, cap=5.0, random=random.random)
"""Delays of a watch that fails: one controller may ask more often than thousands of agents."""


def node(wire: WireObject) -> Node:
    """Projects a Node without its version, so that a heartbeat is no change."""
    found = objects.node(wire)
    return replace(found, meta=replace(found.meta, resource_version=""))


def pod(wire: WireObject) -> AgentPod:
    """Projects a Pod without its version."""
    found = objects.agent_pod(wire)
    return replace(found, meta=replace(found.meta, resource_version=""))


class Observed:
    """All caches, and the informers behind them.

    Attributes:
        runtimes: The VMRuntime.
        checks: Every check.
        nodes: Every node.
        preflights: Every NodePreflight.
        daemon_sets: The agents' DaemonSet.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        on_change: Callable[[], None],
        on_restart: Callable[[str], None],
    ) -> None:
        """Makes the informers.

        Args:
            client: Calls to the API server.
            namespace: The namespace of the checks and the agents.
            on_change: Called when something changed.
            on_restart: Called with a resource's plural name when its watch is begun anew.
        """

        def restarted(plural: str) -> Callable[[], None]:
            return functools.partial(on_restart, plural)

        runtimes = Informer(
            client,
            VM_RUNTIMES,
            objects.runtime,
            on_change=on_change,
            on_restart=restarted(VM_RUNTIMES.plural),
            backoff=BACKOFF,
        )
        checks = Informer(
            client,
            CHECKS,
            objects.check,
            namespace=namespace,
            on_change=on_change,
            on_restart=restarted(CHECKS.plural),
            backoff=BACKOFF,
        )
        self._preflights = Informer(
            client,
            NODE_PREFLIGHTS,
            results.preflight,
            on_change=on_change,
            on_restart=restarted(NODE_PREFLIGHTS.plural),
            backoff=BACKOFF,
        )
        daemon_sets = Informer(
            client,
            DAEMON_SETS,
            objects.daemon_set,
            namespace=namespace,
            name=AGENT_NAME,
            on_change=on_change,
            on_restart=restarted(DAEMON_SETS.plural),
            backoff=BACKOFF,
        )
        nodes = Informer(
            client,
            NODES,
            node,
            on_change=on_change,
            on_restart=restarted(NODES.plural),
            backoff=BACKOFF,
        )
        self._pods = Informer(
            client,
            PODS,
            pod,
            namespace=namespace,
            on_change=on_change,
            on_restart=restarted(PODS.plural),
            backoff=BACKOFF,
        )
        self._client = client
        self._informers = (runtimes, checks, self._preflights, daemon_sets, nodes, self._pods)
        self.runtimes = Cache(runtimes, objects.runtime, _identity)
        self.checks = Cache(checks, objects.check, _identity)
        self.nodes = Cache(nodes, node, lambda one: Identity(one.meta.uid, one.version))
        self.daemon_sets = Cache(daemon_sets, objects.daemon_set, _identity)
        self.preflights = Cache(
            self._preflights, results.preflight, lambda one: Identity(one.uid, one.resource_version)
        )

    def start(self) -> None:
        """Starts every informer."""
        for informer in self._informers:
            informer.start()

    def stop(self) -> None:
        """Stops every informer."""
        for informer in self._informers:
            informer.stop()

    @property
    def blind(self) -> bool:
        """Whether an answer of an agent would not be seen now."""
        return bool(self._preflights.error)

    def missing(self) -> str | None:
        """Returns what is not known yet, one line; None once every cache was filled."""
        late = [informer for informer in self._informers if not informer.synced]
        return "; ".join(informer.error for informer in late) or "not listed yet" if late else None

    def refresh_preflights(self) -> None:
        """Asks for every NodePreflight, whatever the watch has shown.

        Raises:
            ApiError: The API server's answer.
        """
        for page in self._client.pages(NODE_PREFLIGHTS.path()):
            for wire in shapes.items(page, "items"):
                self.preflights.read(wire)

    def pods(self) -> dict[str, AgentPod]:
        """Returns the agent's pod on each node."""
        return by_node(self._pods.items().values())


def by_node(pods: Iterable[AgentPod]) -> dict[str, AgentPod]:
    """Returns the pod that counts on each node: an available one, else the newest."""
    ranked = sorted(
        (pod for pod in pods if pod.owner == AGENT_NAME and pod.node),
        key=lambda pod: (
            pod.available,
            pod.meta.created.timestamp() if pod.meta.created else 0.0,
            pod.meta.name,
        ),
    )
    return {pod.node: pod for pod in ranked}


def _identity(item: Runtime | Check | DaemonSet) -> Identity:
    return Identity(item.meta.uid, item.meta.resource_version)
