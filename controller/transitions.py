"""Nodes whose verdict changed, whoever asked for the run: what an Event on the Node tells. Pure."""

from collections.abc import Collection, Iterable, Mapping

from cluster.node_preflight import NodePreflight
from controller.actions import Announcement
from controller.objects import Node
from controller.verdict import why_not

Verdicts = Mapping[str, bool]
"""The last verdict of each node that gave one, by the node's unique id."""


def verdicts(
    before: Verdicts, preflights: Iterable[NodePreflight], existing: Collection[str]
) -> dict[str, bool]:
    """Returns the verdicts as they stand now; a node keeps its own while it has no NodePreflight.

    Args:
        before: The verdicts until now.
        preflights: The NodePreflights.
        existing: Unique ids of all nodes.
    """
    kept = {uid: passed for uid, passed in before.items() if uid in existing}
    return kept | {
        preflight.node_uid: preflight.status.passed
        for preflight in preflights
        if preflight.status is not None and preflight.status.passed is not None
    }


def known_at_start(preflights: Iterable[NodePreflight], nodes: Collection[Node]) -> dict[str, bool]:
    """Returns the verdicts that count as told when the controller begins.

    A node's condition is what was shown last, so a change while no controller was there is told, once.
    Without a condition the present verdict counts: what is old is not told again.

    Args:
        preflights: The NodePreflights.
        nodes: Every node.
    """
    uids = {node.meta.uid for node in nodes}
    shown = {node.meta.uid: node.verdict.status for node in nodes if node.verdict is not None}
    told = {uid: status == "True" for uid, status in shown.items() if status in ("True", "False")}
    return verdicts({}, preflights, uids) | told


def transitions(
    before: Verdicts, preflights: Iterable[NodePreflight]
) -> list[tuple[NodePreflight, Announcement]]:
    """Returns what to tell of which node: one that fails, and one that passes again.

    Args:
        before: The verdicts until now.
        preflights: The NodePreflights.
    """
    told: list[tuple[NodePreflight, Announcement]] = []
    for preflight in preflights:
        status = preflight.status
        if status is None or status.passed is None or status.passed is before.get(preflight.node_uid, True):
            continue
        if status.passed:
            news = Announcement("Normal", "NodeReadyForVMs", "every preflight check lets the node pass again")
        else:
            news = Announcement(
                "Warning",
                "NodeNotReadyForVMs",
                why_not(preflight),
            )
        told.append((preflight, news))
    return told
