"""The VMRuntime: what its spec asks for, and what its status remembers."""

from dataclasses import dataclass, field

from cluster.resources import DISABLING_ANNOTATION, FORCE_DISABLE_ANNOTATION
from cluster.shapes import flag, mapping, number, text, texts, words
from controller.objects.identity import Meta, WireObject, meta

DEFAULT_IMAGE_FORMAT = "raw"
ALL_NODES = "100%"


@dataclass(frozen=True, slots=True)
class Features:
    """The features of the VM runtime whose change asks for a new check.

    Attributes:
        use_emulation: VMs may run under software emulation.
        vm_image_format: Disk image format.
        min_passed_nodes: How many nodes must pass: a number or a percentage.
        ignored_checks: Checks that do not fail a node, sorted.
    """

    use_emulation: bool = False
    vm_image_format: str = DEFAULT_IMAGE_FORMAT
    min_passed_nodes: int | str = ALL_NODES
    ignored_checks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Returns the wire form, with defaults filled in."""
        return {
            "useEmulation": self.use_emulation,
            "vmImageFormat": self.vm_image_format,
            "minPassedNodes": self.min_passed_nodes,
            "ignoredChecks": list(self.ignored_checks),
        }


def features(spec: WireObject) -> Features:
    """Reads the features of a VMRuntime's spec; what is absent counts as its default."""
    preflight = mapping(spec, "preflight")
    return Features(
        use_emulation=flag(spec, "useEmulation"),
        vm_image_format=text(spec, "vmImageFormat") or DEFAULT_IMAGE_FORMAT,
        min_passed_nodes=_count_or_percentage(preflight.get("minPassedNodes")),
        ignored_checks=tuple(sorted(set(words(preflight, "ignoredChecks")))),
    )


def _count_or_percentage(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return value if isinstance(value, str) else ALL_NODES


@dataclass(frozen=True, slots=True)
class Pending:
    """An automatic check that was decided on, named, and is to be created.

    Attributes:
        name: Its name.
        trigger: What asked for it.
    """

    name: str
    trigger: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What was last acted on, as VMRuntime's status keeps it.

    Attributes:
        enabled: The runtime is in force.
        enabled_generation: The VMRuntime's generation when it was last switched on; 0 for never.
        features: The features last acted on; None before the first look.
        skipped: Unique ids of the nodes that were skipped at the last look; None before the first.
        api_server_version: The API server's version last acted on; empty before it was known.
        pending: The automatic check to be created.
    """

    enabled: bool = False
    enabled_generation: int = 0
    features: Features | None = None
    api_server_version: str = ""
    skipped: frozenset[str] | None = None
    pending: Pending | None = None


def memory(status: WireObject) -> Memory:
    """Reads the memory out of a VMRuntime's status."""
    seen = mapping(status, "lastActedOn")
    pending = mapping(status, "pendingCheck")
    name, trigger = text(pending, "name"), text(pending, "trigger")
    return Memory(
        enabled=flag(status, "enabled"),
        enabled_generation=number(status, "enabledGeneration"),
        features=_features_acted_on(seen),
        api_server_version=text(seen, "apiServerVersion"),
        skipped=frozenset(words(seen, "skippedNodes")) if "skippedNodes" in seen else None,
        pending=Pending(name, trigger) if name and trigger else None,
    )


def _features_acted_on(seen: WireObject) -> Features | None:
    wire = mapping(seen, "features")
    return features({**wire, "preflight": wire}) if wire else None


@dataclass(frozen=True, slots=True)
class Runtime:
    """The VMRuntime.

    Attributes:
        meta: Its identity.
        enabled: What its spec asks for.
        features: The features that its spec asks for.
        force_disable: Value of the annotation that lets VMs be given up; None where it is absent.
        disabling: The command line is switching it off.
        memory: What was last acted on.
        node_condition: Each node's verdict is to be published as a condition.
        node_label: How virtual machines run on each node is to be published as a label.
        status: Its whole status.
    """

    meta: Meta
    enabled: bool = False
    features: Features = field(default_factory=Features)
    force_disable: str | None = None
    disabling: bool = False
    memory: Memory = field(default_factory=Memory)
    node_condition: bool = False
    node_label: bool = False
    status: WireObject = field(default_factory=dict)


def runtime(wire: WireObject) -> Runtime:
    """Projects a VMRuntime."""
    annotations = texts(wire, "metadata", "annotations")
    status = mapping(wire, "status")
    return Runtime(
        meta=meta(wire),
        enabled=flag(wire, "spec", "enabled"),
        features=features(mapping(wire, "spec")),
        force_disable=annotations.get(FORCE_DISABLE_ANNOTATION),
        disabling=annotations.get(DISABLING_ANNOTATION) == "true",
        memory=memory(status),
        node_condition=flag(wire, "spec", "preflight", "nodeCondition"),
        node_label=flag(wire, "spec", "preflight", "nodeLabel"),
        status=status,
    )
