"""VMRuntimePreflightChecks: how far each has come, and under which enabling it was made."""

from dataclasses import dataclass, field
from datetime import datetime

from cluster.resources import TRIGGER_ANNOTATION
from cluster.shapes import flag, mapping, number, text, time
from controller.objects.identity import NOTHING, Meta, WireObject, condition, meta


@dataclass(frozen=True, slots=True)
class Check:
    """A VMRuntimePreflightCheck.

    Attributes:
        meta: Its identity.
        trigger: Value of its trigger annotation.
        passed: Its verdict; None until every node has answered, and for one that was cancelled.
        start: When it was picked up.
        completion: When it ended.
        enabled_generation: `Memory.enabled_generation` while it was created; None while the runtime was off.
        seen: The controller has written its status.
        cancelled: It was ended without a verdict.
        truncated: Its status had to be cut.
        features: Its ``status.featureStatuses``.
        reason: Reason of its condition Complete.
        message: What that condition says.
        nodes: Names of the nodes that take part, while it runs.
        status: Its whole status until it has ended; empty from then on.
    """

    meta: Meta
    trigger: str = ""
    passed: bool | None = None
    start: datetime | None = None
    completion: datetime | None = None
    enabled_generation: int | None = None
    seen: bool = False
    cancelled: bool = False
    truncated: bool = False
    features: WireObject = field(default_factory=dict)
    reason: str = ""
    message: str = ""
    nodes: frozenset[str] = frozenset()
    status: WireObject = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The check's name."""
        return self.meta.name

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.completion is not None

    @property
    def running(self) -> bool:
        """Whether it was picked up and has not ended."""
        return self.start is not None and self.completion is None

    @property
    def age_key(self) -> tuple[float, str]:
        """Orders checks by the second of their creation, then by name: the latest is the last."""
        return (self.meta.created.timestamp() if self.meta.created else 0.0, self.meta.name)


def check(wire: WireObject) -> Check:
    """Projects a VMRuntimePreflightCheck."""
    status = mapping(wire, "status")
    completion = time(status, "completionTime")
    verdict = status.get("pass")
    complete = condition(wire, "Complete")
    return Check(
        meta=meta(wire),
        trigger=text(wire, "metadata", "annotations", TRIGGER_ANNOTATION),
        passed=verdict if isinstance(verdict, bool) else None,
        start=time(status, "startTime"),
        completion=completion,
        enabled_generation=number(status, "enabledGeneration") if "enabledGeneration" in status else None,
        seen=bool(complete),
        cancelled=text(condition(wire, "Cancelled"), "status") == "True",
        truncated=flag(status, "truncated"),
        features=mapping(status, "featureStatuses"),
        reason=text(complete, "reason"),
        message=text(complete, "message"),
        nodes=frozenset() if completion else frozenset(mapping(status, "checks")),
        status=NOTHING if completion else status,
    )
