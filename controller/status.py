"""VMRuntime's whole status after a look. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from controller import ready, summary
from controller.conditions import Condition, merge
from controller.objects import Check, Memory, Runtime
from controller.switch import Obstacle, Position, annotation_trouble

READY = "Ready"
DISABLE_BLOCKED = "DisableBlocked"
AGENTS_ROLLED_OUT = "AgentsRolledOut"
ANNOTATIONS_VALID = "AnnotationsValid"
NOT_WANTED = "NotWanted"
"""Reason of `AGENTS_ROLLED_OUT`: none are to be there."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far the agents are rolled out.

    Attributes:
        wanted: They are wanted.
        rolled_out: They count as rolled out on every node that takes part.
        missing: Nodes that no agent serves.
        trouble: The same for a person, with why.
        manifest_trouble: Why the manifest cannot be used; names the file.
        apply_trouble: What the API server said when it was applied.
    """

    wanted: bool
    rolled_out: bool
    missing: Collection[str] = ()
    trouble: str = ""
    manifest_trouble: str = ""
    apply_trouble: str = ""


def status(
    runtime: Runtime,
    memory: Memory,
    position: Position,
    rollout: Rollout,
    checks: Collection[Check],
    now: datetime,
) -> dict[str, object]:
    """Returns VMRuntime's status.

    Args:
        runtime: The VMRuntime as it stands.
        memory: The memory after this look.
        position: Where the switch stands.
        rollout: How far the agents are.
        checks: The checks that exist.
        now: The present.
    """
    last = summary.last_completed(runtime, memory, checks, now)
    is_ready = ready.readiness(
        enabled=runtime.enabled,
        in_force=memory.enabled,
        rolled_out=rollout.rolled_out,
        trouble=rollout.trouble,
        last=last,
    )
    conditions = (
        Condition(READY, is_ready.ready, is_ready.reason.value, is_ready.message),
        Condition(
            DISABLE_BLOCKED,
            position.obstacle is not Obstacle.NOTHING,
            position.obstacle.value,
            position.message,
        ),
        _rolled_out(rollout),
        _annotations(runtime),
    )
    wire: dict[str, object] = {
        "enabled": memory.enabled,
        "ready": is_ready.ready,
        "observedGeneration": runtime.meta.generation,
        "lastActedOn": {
            **({"features": memory.features.to_dict()} if memory.features else {}),
            **({"apiServerVersion": memory.api_server_version} if memory.api_server_version else {}),
            **({"skippedNodes": sorted(memory.skipped)} if memory.skipped is not None else {}),
        },
        "conditions": merge(conditions, runtime.status, generation=runtime.meta.generation, now=now),
    }
    if memory.enabled_generation:
        wire["enabledGeneration"] = memory.enabled_generation
    if memory.pending is not None:
        wire["pendingCheck"] = {"name": memory.pending.name, "trigger": memory.pending.trigger}
    if checked := summary.summary(checks, last):
        wire["preflightCheckSummary"] = checked
    return wire


def _rolled_out(rollout: Rollout) -> Condition:
    if rollout.manifest_trouble:
        return Condition(
            AGENTS_ROLLED_OUT, holds=False, reason="ManifestInvalid", message=rollout.manifest_trouble
        )
    if not rollout.wanted:
        return Condition(
            AGENTS_ROLLED_OUT,
            holds=False,
            reason=NOT_WANTED,
            message="the VM runtime is disabled and no check is unfinished",
        )
    if rollout.apply_trouble:
        return Condition(AGENTS_ROLLED_OUT, holds=False, reason="ApplyFailed", message=rollout.apply_trouble)
    if not rollout.rolled_out:
        return Condition(
            AGENTS_ROLLED_OUT,
            holds=False,
            reason="RollingOut",
            message=rollout.trouble,
        )
    return Condition(
        AGENTS_ROLLED_OUT,
        holds=True,
        reason="RolledOut",
        message="an agent serves every node that takes part",
    )


def _annotations(runtime: Runtime) -> Condition:
    trouble = annotation_trouble(runtime)
    if trouble:
        return Condition(ANNOTATIONS_VALID, holds=False, reason="NeitherTrueNorFalse", message=trouble)
    return Condition(
        ANNOTATIONS_VALID,
        holds=True,
        reason="Valid",
        message="every annotation that counts holds true or false, or is absent",
    )
