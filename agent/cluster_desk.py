"""Where the agent's requests come from and its answers go in a cluster: its own NodePreflight."""

from collections.abc import Callable

from agent import status
from cluster.informer import Informer
from cluster.node_preflight import NodePreflight, from_object
from cluster.resources import NODE_PREFLIGHTS
from cluster.transport import Client
from preflight.report import Report

PUBLISH_TIMEOUT = 10.0
"""Seconds without an answer after which a write is given up and tried again."""


class ClusterDesk:
    """The NodePreflight of one node: one watch, and one write an answer."""

    def __init__(self, client: Client, node: str, *, on_change: Callable[[], None]) -> None:
        """Prepares the watch.

        Args:
            client: Calls to the API server.
            node: The node's name.
            on_change: Called, in the watch's thread, when there is something new to look at.
        """
        self._client = client.limited(timeout=PUBLISH_TIMEOUT, attempts=1)
        self._node = node
        self._written: NodePreflight | None = None
        self._informer = Informer(client, NODE_PREFLIGHTS, from_object, name=node, on_change=on_change)

    def start(self) -> None:
        """Starts the watch."""
        self._informer.start()

    def stop(self) -> None:
        """Ends the watch."""
        self._informer.stop()

    def current(self) -> NodePreflight | None:
        """Returns the newest that is known of the object, an empty request where it does not exist."""
        if not self._informer.synced:
            return None
        cached = self._informer.get(self._node)
        if cached is None:
            return NodePreflight(name=self._node)
        written = self._written
        return written if written is not None and _newer(written, cached) else cached

    def publish(self, report: Report, run_id: str) -> None:
        """Writes the status; the only write of the agent.

        Raises:
            ApiError: It is not written.
        """
        path = NODE_PREFLIGHTS.path(self._node, subresource="status")
        self._written = from_object(self._client.patch(path, status.patch(report, run_id)))

    def problem(self) -> str:
        """Returns why the watch is not established, empty where it is."""
        return self._informer.error


def _newer(one: NodePreflight, other: NodePreflight) -> bool:
    """Whether ``one`` is a later version of the same object (KEP-5504: versions compare as numbers)."""
    try:
        return one.uid == other.uid and int(one.resource_version) > int(other.resource_version)
    except ValueError:  # an API server that numbers otherwise: the watch tells, a moment later
        return False
