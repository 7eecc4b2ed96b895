"""What the controller knows when it looks, and what it decides: in and out of `controller.decide`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cluster.node_preflight import NodePreflight
from cluster.resources import NAMESPACE
from controller.actions import Action
from controller.objects import AgentPod, Check, DaemonSet, Node, Runtime, WireObject
from controller.runs import Sight
from controller.silence import Patience
from controller.switch import VMs
from controller.upgrades import Upgrade


@dataclass(frozen=True, slots=True)
class Manifest:
    """The agents' manifest.

    Attributes:
        template: Its pod template; empty where it cannot be used.
        trouble: Why it cannot be used; names the file.
        applied: The DaemonSet is there as the manifest has it.
        apply_trouble: What the API server said when it was applied last.
    """

    template: WireObject = field(default_factory=dict)
    trouble: str = ""
    applied: bool = False
    apply_trouble: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """What is known when the controller looks.

    Attributes:
        now: The present.
        runtime: The VMRuntime; None where there is none.
        checks: Every check.
        nodes: Every node, by name.
        preflights: Every NodePreflight, by node.
        pods: The agent's pod on each node.
        api_server_version: The API server's version; empty for unknown.
        upgrade: The upgrade under way at the look before.
        sight: Since when the running check was in sight at the look before.
        daemon_set: The agents' DaemonSet.
        manifest: The agents' manifest.
        vms: Whether virtual machines exist, where that matters.
        vms_told: What to do about the first one, or why that is not known.
        unserved_since: Since when some node that takes part has had no agent.
        check_written: When the running check's status was written last.
        runtime_written: When the VMRuntime's status was written last.
        new_name: A name for a check that would be new.
        namespace: The namespace of the checks and the agents.
        patience: How long nodes are waited for.
    """

    now: datetime
    runtime: Runtime | None
    checks: tuple[Check, ...] = ()
    nodes: Mapping[str, Node] = field(default_factory=dict)
    preflights: Mapping[str, NodePreflight] = field(default_factory=dict)
    pods: Mapping[str, AgentPod] = field(default_factory=dict)
    api_server_version: str = ""
    upgrade: Upgrade | None = None
    sight: Sight | None = None
    daemon_set: DaemonSet | None = None
    manifest: Manifest = field(default_factory=Manifest)
    vms: VMs = VMs.NONE
    vms_told: str = ""
    unserved_since: datetime | None = None
    check_written: datetime | None = None
    runtime_written: datetime | None = None
    new_name: str = ""
    namespace: str = NAMESPACE
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done.

    Attributes:
        actions: What to do now.
        look_again: When to look again though nothing changed; None where nothing is waited for.
        unserved: Some node that takes part has no agent.
        upgrade: The upgrade under way.
        sight: Since when the running check is in sight.
        serving: The nodes that the agents serve, skipped ones too, by name.
        failing: Nodes that fail in a check that ends now.
    """

    actions: tuple[Action, ...] = ()
    look_again: datetime | None = None
    unserved: bool = False
    upgrade: Upgrade | None = None
    sight: Sight | None = None
    serving: Mapping[str, Node] = field(default_factory=dict)
    failing: frozenset[str] = frozenset()
