"""The cluster was upgraded: which versions differ from those last acted on, and when that asks for a check.

Pure. What was last acted on is kept where it is written together with the acting: the API server's version in
VMRuntime's status, with the name of the check that is to be created; a kubelet's in its node's NodePreflight,
with the run that is asked for. So an upgrade is acted on once, whenever the controller was away. Only since
when versions are quiet is kept in memory: a controller that begins anew waits anew (ADR 0013).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cluster.node_preflight import NodePreflight
from controller.objects import Check, Memory, Node
from controller.silence import Patience
from controller.triggers import automatic

Change = tuple[str, str]
"""A node's unique id, or nothing for the API server, and its new version."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Versions that differ from those last acted on.

    Attributes:
        changes: Which, at the last look.
        first: When the first of an unbroken series of looks saw any.
        last: When a further one was seen last.
    """

    changes: frozenset[Change]
    first: datetime
    last: datetime

    def due(self, patience: Patience) -> datetime:
        """Returns when it asks for a check: when it was quiet for a while, or took too long."""
        return min(self.last + patience.quiet, self.first + patience.upgrade)


def changes(
    memory: Memory,
    api_server_version: str,
    nodes: Iterable[Node],
    preflights: Mapping[str, NodePreflight],
    *,
    running: Check | None,
    taking_part: Collection[str],
) -> frozenset[Change]:
    """Returns what differs from what was last acted on, and is not about to be acted on by the running check.

    Args:
        memory: What was last acted on.
        api_server_version: The API server's version; empty for unknown.
        nodes: The nodes that the agents serve.
        preflights: NodePreflights by node.
        running: The check that runs.
        taking_part: The nodes that take part in it.
    """
    found: set[Change] = set()
    if memory.api_server_version and api_server_version not in ("", memory.api_server_version):
        found.add(("", api_server_version))
    for node in nodes:
        preflight = preflights.get(node.name)
        if preflight is None or preflight.node_uid != node.meta.uid or not node.kubelet_version:
            continue  # a node that joins, or comes back as another one, is not upgraded
        asked = begins(running, taking_part, preflight)
        if noted(node, preflight, begins=asked, watched=True) != node.kubelet_version:
            found.add((node.meta.uid, node.kubelet_version))
    return frozenset(found)


def seen(before: Upgrade | None, found: frozenset[Change], now: datetime) -> Upgrade | None:
    """Returns the upgrade under way; one that was taken back is none.

    Args:
        before: The upgrade at the look before.
        found: The `changes` at this look.
        now: The present.
    """
    if not found:
        return None
    if before is None:
        return Upgrade(found, now, now)
    return Upgrade(found, before.first, before.last if found <= before.changes else now)


def begins(running: Check | None, taking_part: Collection[str], preflight: NodePreflight | None) -> bool:
    """Tells whether a node is about to be asked for the run of an automatic check.

    A person's check acts on no upgrade, as on no other trigger: an upgrade has a check of its own.
    """
    return (
        running is not None
        and automatic(running)
        and preflight is not None
        and preflight.name in taking_part
        and (preflight.run is None or preflight.run.id != running.meta.uid)
    )


def noted(node: Node, preflight: NodePreflight | None, *, begins: bool, watched: bool) -> str:
    """Returns the kubelet's version that the node's NodePreflight is to hold as acted on.

    Args:
        node: The node.
        preflight: Its NodePreflight.
        begins: It is about to be asked for the run of an automatic check.
        watched: Triggers fire, now or once it is clear that the runtime stays on.
    """
    before = preflight.kubelet_version if preflight is not None else ""
    if not before or begins or node.skipped or not watched:
        return node.kubelet_version or before
    return before
