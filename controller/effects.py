"""Does what was decided: one call to the API server for each action, harmless when it is repeated.

What is replaced carries the resource version that it was decided from, so a stale look ends in a conflict;
names are decided before objects are created, so creating twice is refused; deletions name the object's unique
id.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import structlog

from cluster import node_preflight, shapes
from cluster.events import reference
from cluster.node_preflight import NodePreflight
from cluster.resources import (
    CHECKS,
    MODE_LABEL,
    NODE_PREFLIGHTS,
    NODES,
    PASSED_CONDITION,
    TRIGGER_ANNOTATION,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
    Resource,
)
from cluster.transport import ApiError, Client
from controller import actions
from controller.actions import Action, Announcement
from controller.agents import asked_of
from controller.caches import Cache
from controller.metrics import Metrics
from controller.news import News
from controller.objects import Check, DaemonSet, Meta, Node, NodeCondition, Runtime, WireObject
from controller.rollout import Rollout
from controller.triggers import trigger_of

log = structlog.get_logger()


class Effects:
    """Does actions.

    Args:
        client: Calls to the API server.
        runtimes: Cache of the VMRuntime.
        checks: Cache of the checks.
        nodes: Cache of the Nodes.
        preflights: Cache of the NodePreflights.
        daemon_sets: Cache of the agents' DaemonSet.
        rollout: Applies the agents' DaemonSet.
        news: What people are told of.
        metrics: Counts.
        namespace: The namespace of the checks and the agents.
        now: The time of day.
    """

    def __init__(
        self,
        client: Client,
        *,
        runtimes: Cache[Runtime],
        checks: Cache[Check],
        nodes: Cache[Node],
        preflights: Cache[NodePreflight],
        daemon_sets: Cache[DaemonSet],
        rollout: Rollout,
        news: News,
        metrics: Metrics,
        namespace: str,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._runtimes = runtimes
        self._checks = checks
        self._nodes = nodes
        self._preflights = preflights
        self._daemon_sets = daemon_sets
        self._rollout = rollout
        self._news = news
        self._metrics = metrics
        self._namespace = namespace
        self._now = now
        self._written: dict[str, tuple[str, object]] = {}

    def do(self, action: Action) -> bool:
        """Does one action.

        Returns:
            Whether something was written.

        Raises:
            ApiError: The API server's answer.
        """
        match action:
            case actions.CreateRuntime():
                self._create(VM_RUNTIMES, self._runtimes, VM_RUNTIME_NAME, {"spec": {}})
            case actions.WriteRuntimeStatus(runtime, status):
                return self._write_status(VM_RUNTIMES, self._runtimes, runtime.meta, status)
            case actions.CreateCheck(name, trigger):
                metadata = {"annotations": {TRIGGER_ANNOTATION: trigger}}
                self._create(CHECKS, self._checks, name, {"metadata": metadata}, namespace=self._namespace)
                log.info("check created", check=name, trigger=trigger)
            case actions.NoteTrigger(check, trigger):
                self._note_trigger(check, trigger)
            case actions.WriteCheckStatus(check, status, result, announcement):
                return self._write_check(check, status, result, announcement)
            case actions.DeleteCheck(check):
                self._client.delete_exactly(
                    CHECKS.path(check.name, namespace=self._namespace), uid=check.meta.uid
                )
                self._checks.deleted(f"{self._namespace}/{check.name}", check)
            case actions.AskNode(node):
                path, body = NODE_PREFLIGHTS.path(node.name), action.body()
                wire = self._client.apply(path, body)
                if asked_of(node_preflight.from_object(wire)) != action.asked:
                    wire = self._client.patch(path, node_preflight.spec_patch(body))
                self._preflights.wrote(wire)
            case actions.DeleteNodePreflight(preflight):
                self._client.delete_exactly(NODE_PREFLIGHTS.path(preflight.name), uid=preflight.uid)
                self._preflights.deleted(preflight.name, preflight)
            case actions.LabelNode(node, value):
                return self._patch_node(node, {"metadata": {"labels": {MODE_LABEL: value}}})
            case actions.WriteNodeCondition(node, condition):
                change = {"conditions": [_entry(condition, self._now())]}
                return self._patch_node(node, {"status": change}, subresource="status")
            case actions.ApplyAgents():
                self._daemon_sets.wrote(self._rollout.apply())
                log.info("agents' DaemonSet applied")
            case actions.DeleteAgents(daemon_set):
                self._rollout.delete(daemon_set)
                self._daemon_sets.deleted(f"{self._namespace}/{daemon_set.meta.name}", daemon_set)
                log.info("agents' DaemonSet deleted")
        return True

    def _create(
        self,
        resource: Resource,
        cache: Cache[Runtime] | Cache[Check],
        name: str,
        body: Mapping[str, object],
        *,
        namespace: str = "",
    ) -> None:
        """Creates an object; one that is there already is as good."""
        metadata = {**shapes.mapping(body, "metadata"), "name": name}
        whole = {**body, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        try:
            wire = self._client.create(resource.path(namespace=namespace), whole)
        except ApiError as error:
            if not error.already_exists:
                raise
            wire = self._client.get(resource.path(name, namespace=namespace))
        cache.wrote(wire)

    def _write_status(
        self,
        resource: Resource,
        cache: Cache[Runtime] | Cache[Check],
        meta: Meta,
        status: WireObject,
        *,
        namespace: str = "",
    ) -> bool:
        """Replaces a status.

        What a schema of another version drops would look like a difference for ever: the same status is not
        written again to the very version that resulted from it.
        """
        key = f"{resource.plural}/{meta.uid}"
        if self._written.get(key) == (meta.resource_version, status):
            return False
        path = resource.path(meta.name, namespace=namespace, subresource="status")
        whole = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {
                "name": meta.name,
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
                **({"namespace": namespace} if namespace else {}),
            },
            "status": status,
        }
        wire = self._client.replace(path, whole)
        cache.wrote(wire)
        if shapes.mapping(wire, "status") == status:
            self._written.pop(key, None)
        else:
            self._written[key] = (shapes.text(wire, "metadata", "resourceVersion"), status)
            log.warning(
                "the API server kept another status than was written: are the CRDs up to date?",
                object=meta.name,
            )
        return True

    def _write_check(
        self, check: Check, status: WireObject, result: str, announcement: Announcement | None
    ) -> bool:
        if not self._write_status(CHECKS, self._checks, check.meta, status, namespace=self._namespace):
            return False
        if result:
            seconds = (self._now() - check.start).total_seconds() if check.start else None
            self._metrics.run_ended(trigger_of(check).value, result, seconds)
            log.info("check ended", check=check.name, result=result, trigger=trigger_of(check).value)
        if announcement is not None:
            about = reference(CHECKS, check.name, namespace=self._namespace, uid=check.meta.uid)
            self._news.add(about, announcement)
            for runtime in self._runtimes.items().values():
                about = reference(VM_RUNTIMES, runtime.meta.name, uid=runtime.meta.uid)
                self._news.add(about, announcement)
        return True

    def _patch_node(self, node: Node, change: WireObject, *, subresource: str = "") -> bool:
        """Changes what is ours of a Node, whoever wrote it last; another one of the same name is refused."""
        metadata = {**shapes.mapping(change, "metadata"), "uid": node.meta.uid}
        path = NODES.path(node.name, subresource=subresource)
        try:
            wire = self._client.patch_by_keys(path, {**change, "metadata": metadata})
        except ApiError as error:
            if error.not_found:
                return False
            raise
        self._nodes.wrote(wire)
        return True

    def _note_trigger(self, check: Check, trigger: str) -> None:
        metadata = {"uid": check.meta.uid, "annotations": {TRIGGER_ANNOTATION: trigger}}
        path = CHECKS.path(check.name, namespace=self._namespace)
        self._checks.wrote(self._client.patch(path, {"metadata": metadata}))


def _entry(condition: NodeCondition | None, now: datetime) -> WireObject:
    """Returns what is merged into a Node's conditions."""
    gone = {"$patch": "delete", "type": PASSED_CONDITION}
    return gone if condition is None else node_condition(condition, now)


def node_condition(condition: NodeCondition, now: datetime) -> dict[str, object]:
    """Returns a Node's condition in wire form, as written ``now``: there is no heartbeat."""
    return {
        "type": PASSED_CONDITION,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastHeartbeatTime": shapes.timestamp(now),
        "lastTransitionTime": shapes.timestamp(condition.since or now),
    }
