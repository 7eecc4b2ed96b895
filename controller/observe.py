"""The controller's informers: what it keeps of the cluster, and how it hears that something changed."""

import functools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from cluster import shapes
from cluster.backoff import Backoff
from cluster.informer import Informer
from cluster.node_preflight import NodePreflight
from cluster.resources import (
    AGENT_NAME,
    CHECKS,
    DAEMON_SETS,
    NODE_PREFLIGHTS,
    NODES,
    PODS,
    VM_RUNTIMES,
    Resource,
)
from cluster.transport import Client
from controller import objects, results
from controller.caches import Cache, Identity
from controller.objects import AgentPod, Check, DaemonSet, Node, Runtime, WireObject

T = TypeVar("T")

BACKOFF = Backoff(base=0.5, cap=5.0, random=random.random)
"""Delays of a watch that fails: one controller may ask more often than thousands of agents."""


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

        def cache(
            resource: Resource,
            project: Callable[[WireObject], T],
            identify: Callable[[T], Identity],
            *,
            where: str = "",
            name: str = "",
        ) -> Cache[T]:
            informer = self._informers[resource.plural] = Informer(
                client,
                resource,
                project,
                namespace=where,
                name=name,
                on_change=on_change,
                on_restart=functools.partial(on_restart, resource.plural),
                backoff=BACKOFF,
            )
            return Cache(informer, project, identify)

        self._client = client
        self._namespace = namespace
        self._informers: dict[str, Informer[Any]] = {}
        self.runtimes = cache(VM_RUNTIMES, objects.runtime, _identity)
        self.checks = cache(CHECKS, objects.check, _identity, where=namespace)
        self.preflights = cache(NODE_PREFLIGHTS, results.preflight, _identity_of_preflight)
        self.daemon_sets = cache(DAEMON_SETS, objects.daemon_set, _identity, where=namespace, name=AGENT_NAME)
        self.nodes = cache(NODES, objects.node, _identity_apart)
        self._pods = cache(PODS, objects.agent_pod, _identity_apart, where=namespace)

    def start(self) -> None:
        """Starts every informer."""
        for informer in self._informers.values():
            informer.start()

    def stop(self) -> None:
        """Stops every informer."""
        for informer in self._informers.values():
            informer.stop()

    @property
    def blind(self) -> bool:
        """Whether an answer of an agent would not be seen now."""
        return bool(self._informers[NODE_PREFLIGHTS.plural].error)

    def missing(self) -> str | None:
        """Returns what is not known yet, one line; None once every cache was filled."""
        late = [informer for informer in self._informers.values() if not informer.synced]
        return "; ".join(informer.error for informer in late) or "not listed yet" if late else None

    def refresh(self) -> None:
        """Asks for every node, agent's pod and NodePreflight, whatever the watches have shown.

        Raises:
            ApiError: The API server's answer.
        """
        self.nodes.listed(self._all(NODES.path()))
        self._pods.listed(self._all(PODS.path(namespace=self._namespace)))
        self.preflights.listed(self._all(NODE_PREFLIGHTS.path()))

    def _all(self, path: str) -> Iterator[WireObject]:
        for page in self._client.pages(path):
            yield from shapes.items(page, "items")

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


def _identity_of_preflight(item: NodePreflight) -> Identity:
    return Identity(item.uid, item.resource_version)


def _identity_apart(item: Node | AgentPod) -> Identity:
    return Identity(item.meta.uid, item.version)
