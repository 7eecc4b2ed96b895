"""What the controller can do to the cluster; decided in `controller.decide`, done in `controller.effects`."""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.events import EventType
from cluster.node_preflight import NodePreflight, RunRequest, spec_body
from controller.objects import Check, DaemonSet, Node, NodeCondition, Runtime

Status = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Announcement:
    """An Event on a check and on the VMRuntime.

    Attributes:
        kind: ``Normal`` or ``Warning``.
        reason: CamelCase word.
        message: One line.
    """

    kind: EventType
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class CreateRuntime:
    """Creates the VMRuntime, switched off."""


@dataclass(frozen=True, slots=True)
class WriteRuntimeStatus:
    """Writes the VMRuntime's status."""

    runtime: Runtime
    status: Status


@dataclass(frozen=True, slots=True)
class CreateCheck:
    """Creates an automatic check under a name that VMRuntime's status already holds."""

    name: str
    trigger: str


@dataclass(frozen=True, slots=True)
class NoteTrigger:
    """Writes a check's trigger annotation."""

    check: Check
    trigger: str


@dataclass(frozen=True, slots=True)
class WriteCheckStatus:
    """Writes a check's status, and then tells people what happened.

    Attributes:
        check: The check.
        status: Its new status.
        result: How it ended, for the metrics; empty while it goes on.
        announcement: What people are told.
    """

    check: Check
    status: Status
    result: str = ""
    announcement: Announcement | None = None


@dataclass(frozen=True, slots=True)
class DeleteCheck:
    """Deletes an automatic check."""

    check: Check


@dataclass(frozen=True, slots=True)
class Asked:
    """What a node's agent is asked: the spec of its NodePreflight.

    Attributes:
        skip: The node is skipped.
        use_emulation: VMs may run under software emulation.
        ignored_checks: Checks that do not fail the node, sorted.
        kubelet_version: The version of the node's kubelet that counts as acted on.
        run: The run that is asked for.
    """

    skip: bool = False
    use_emulation: bool = False
    ignored_checks: tuple[str, ...] = ()
    kubelet_version: str = ""
    run: RunRequest | None = None


@dataclass(frozen=True, slots=True)
class AskNode:
    """Writes the spec of a node's NodePreflight, creating it where it is missing.

    Attributes:
        node: The node.
        asked: What its agent is asked.
        version: Resource version of the NodePreflight that this was decided from; empty where it is missing.
    """

    node: Node
    asked: Asked
    version: str = ""

    def body(self) -> dict[str, object]:
        """Returns the object to apply."""
        return spec_body(
            self.node.name,
            node_uid=self.node.meta.uid,
            version=self.version,
            skip=self.asked.skip,
            use_emulation=self.asked.use_emulation,
            ignored_checks=self.asked.ignored_checks,
            kubelet_version=self.asked.kubelet_version,
            run=self.asked.run,
        )


@dataclass(frozen=True, slots=True)
class DeleteNodePreflight:
    """Deletes a NodePreflight."""

    preflight: NodePreflight


@dataclass(frozen=True, slots=True)
class LabelNode:
    """Sets a Node's label vm-mode, or takes it away where ``value`` is None."""

    node: Node
    value: str | None


@dataclass(frozen=True, slots=True)
class WriteNodeCondition:
    """Writes a Node's condition VMPreflightPassed, or takes it away where ``condition`` is None."""

    node: Node
    condition: NodeCondition | None


@dataclass(frozen=True, slots=True)
class ApplyAgents:
    """Applies the agents' DaemonSet as the manifest has it."""


@dataclass(frozen=True, slots=True)
class DeleteAgents:
    """Deletes the agents' DaemonSet."""

    daemon_set: DaemonSet


Action = (
    CreateRuntime
    | WriteRuntimeStatus
    | CreateCheck
    | NoteTrigger
    | WriteCheckStatus
    | DeleteCheck
    | AskNode
    | DeleteNodePreflight
    | LabelNode
    | WriteNodeCondition
    | ApplyAgents
    | DeleteAgents
)
