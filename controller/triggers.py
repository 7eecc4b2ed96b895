"""What asks for a check: the memory of what was last acted on, compared with what is there now.

Level-based: a trigger that happened while the controller was away shows as a difference and is acted on once,
because the memory and the name of the check that it asked for are written together (`Memory.pending`). The
check is created afterwards, under that name, as often as it takes.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from enum import StrEnum

from controller.objects import Check, Features, Memory, Node, Pending

AUTOMATIC_NAME = re.compile(
    r"vmruntime-preflight-check-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)


class Trigger(StrEnum):
    """Why a check exists; the values of its annotation and of the metric's label."""

    ENABLED = "Enabled"
    FEATURE_CHANGED = "FeatureChanged"
    CLUSTER_UPGRADED = "ClusterUpgraded"
    SKIP_LABEL_REMOVED = "SkipLabelRemoved"
    REQUESTED = "Requested"


AUTOMATIC = frozenset(Trigger) - {Trigger.REQUESTED}


def trigger_of(check: Check) -> Trigger:
    """Returns why ``check`` exists; a person's was asked for, whatever its annotation was copied from."""
    return Trigger(check.trigger) if automatic(check) else Trigger.REQUESTED


def automatic(check: Check) -> bool:
    """Tells whether the controller made ``check``: by its annotation and its name, which a person's lacks."""
    return check.trigger in AUTOMATIC and AUTOMATIC_NAME.fullmatch(check.name) is not None


def fired(
    memory: Memory,
    *,
    enabled: bool,
    in_force: bool,
    features: Features,
    nodes: Iterable[Node],
    upgraded: bool,
) -> Trigger | None:
    """Tells what happened since ``memory`` that asks for a check.

    Args:
        memory: What was last acted on.
        enabled: What the VMRuntime's spec asks for.
        in_force: Whether the runtime is on, after the switch was decided on.
        features: The VMRuntime's features.
        nodes: Every node of the cluster.
        upgraded: Versions changed, and are quiet again (`controller.upgrades`).
    """
    if not (enabled and in_force):
        return None
    if not memory.enabled:
        return Trigger.ENABLED
    if memory.features is not None and memory.features != features:
        return Trigger.FEATURE_CHANGED
    skipped = memory.skipped or frozenset()
    if any(node.meta.uid in skipped and not node.skipped for node in nodes):
        return Trigger.SKIP_LABEL_REMOVED
    return Trigger.CLUSTER_UPGRADED if upgraded else None


def remember(
    memory: Memory,
    *,
    enabled: bool,
    in_force: bool,
    generation: int,
    features: Features,
    nodes: Iterable[Node],
) -> Memory:
    """Returns the memory after a look: what is there now counts as acted on.

    But not while the runtime waits to be off: if it is to stay on after all, its verdict must be of what is
    there then.
    """
    if in_force and not enabled:
        return memory
    return replace(
        memory,
        enabled=in_force,
        enabled_generation=generation if in_force and not memory.enabled else memory.enabled_generation,
        features=features,
        skipped=frozenset(node.meta.uid for node in nodes if node.skipped),
    )


def to_create(memory: Memory, checks: Iterable[Check]) -> Pending | None:
    """Returns the check that was decided on and is not there yet; one that we would not decide on is none."""
    waiting = memory.pending
    if waiting is None or waiting.trigger not in AUTOMATIC or not AUTOMATIC_NAME.fullmatch(waiting.name):
        return None
    return None if any(check.name == waiting.name for check in checks) else waiting


def is_about_to_start(memory: Memory, checks: Collection[Check]) -> bool:
    """Tells whether an automatic check is still to start, so that it finds whatever changes until then."""
    return to_create(memory, checks) is not None or any(
        automatic(check) and check.start is None and not check.finished for check in checks
    )


def pending(
    trigger: Trigger | None, memory: Memory, checks: Iterable[Check], *, in_force: bool, new_name: str
) -> Pending | None:
    """Returns the automatic check that is to be created, if any.

    A trigger is folded into an automatic check that has not started; but a runtime that is switched on wants
    a check of its own, since an older one may have been made while it was off.

    Args:
        trigger: What asks for a check now.
        memory: What was last acted on.
        checks: The checks that exist.
        in_force: Whether the runtime is on.
        new_name: Name of a check that would be new.
    """
    if not in_force:
        return None
    checks = tuple(checks)
    waiting = to_create(memory, checks)
    if trigger is None or waiting is not None:
        return waiting
    if trigger is not Trigger.ENABLED and is_about_to_start(memory, checks):
        return None
    return Pending(new_name, trigger.value)
