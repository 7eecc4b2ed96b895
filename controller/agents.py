"""What every node's agent is to be asked, and the NodePreflights that are no longer wanted. Pure."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from cluster.node_preflight import NodePreflight, RunRequest
from controller import runs, upgrades
from controller.actions import Asked, AskNode, DeleteNodePreflight
from controller.objects import AgentPod, Check, Features, Node
from controller.silence import Patience, asked_until


def orphans(
    preflights: Collection[NodePreflight], serving: Mapping[str, Node]
) -> Iterator[DeleteNodePreflight]:
    """Yields what is to be deleted: no agent serves the node, or it is another node of the same name."""
    for preflight in preflights:
        node = serving.get(preflight.name)
        if node is None or preflight.node_uid != node.meta.uid:
            yield DeleteNodePreflight(preflight)


def questions(
    serving: Mapping[str, Node],
    preflights: Mapping[str, NodePreflight],
    pods: Mapping[str, AgentPod],
    *,
    features: Features,
    running: Check | None,
    taking_part: Collection[str],
    watched: bool,
    since: datetime | None,
    patience: Patience,
) -> Iterator[AskNode]:
    """Yields what is to be written so that every agent is asked what it should be.

    Args:
        serving: The nodes that the agents' DaemonSet serves.
        preflights: NodePreflights by node.
        pods: Agents' pods by node.
        features: The VMRuntime's features.
        running: The check that runs.
        taking_part: The nodes that take part in it.
        watched: Triggers fire, now or once it is clear that the runtime stays on.
        since: Since when the running check is waited for.
        patience: How long agents have.
    """
    for name, node in serving.items():
        preflight = preflights.get(name)
        if preflight is not None and preflight.node_uid != node.meta.uid:
            continue  # it goes first, with the old node's answers
        run = _run_to_keep(preflight)
        if running is not None and since is not None and name in taking_part:
            run = _run(running, since, preflight, pods.get(name), patience)
        begins = upgrades.begins(running, taking_part, preflight)
        version = upgrades.noted(node, preflight, begins=begins, watched=watched)
        asked = Asked(node.skipped, features.use_emulation, features.ignored_checks, version, run)
        if preflight is None or asked != asked_of(preflight):
            yield AskNode(node, asked, preflight.resource_version if preflight is not None else "")


def asked_of(preflight: NodePreflight) -> Asked:
    """Returns what a NodePreflight asks its agent."""
    return Asked(
        preflight.skip,
        preflight.use_emulation,
        tuple(sorted(set(preflight.ignored_checks))),
        preflight.kubelet_version,
        preflight.run,
    )


def _run_to_keep(preflight: NodePreflight | None) -> RunRequest | None:
    """An answered run stays, since taking it away would be a write for nothing; any other is withdrawn."""
    if preflight is None or preflight.run is None or preflight.status is None:
        return None
    return preflight.run if preflight.status.run_id == preflight.run.id else None


def _run(
    check: Check, since: datetime, preflight: NodePreflight | None, pod: AgentPod | None, patience: Patience
) -> RunRequest:
    """The run that is asked for; a deadline that was given is only ever moved on, and not for little."""
    deadline = asked_until(pod, since, patience)
    if preflight is not None and preflight.run is not None and preflight.run.id == check.meta.uid:
        if runs.answered(check, preflight):
            return preflight.run
        given = preflight.run.deadline
        if given is not None and deadline - given < patience.answer / 4:
            deadline = given
    return RunRequest(check.meta.uid, check.name, deadline.replace(microsecond=0))  # as it is stored
