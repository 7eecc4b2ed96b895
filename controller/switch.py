"""The switch as the resource alone moves it: on at once, off only when no virtual machine is left.

`--force` is the command line's; here it counts as false. With VMs present, the force-disable annotation tells
whether they are protected or are to be deleted; either way the runtime stays on until the last one is gone.
"""

from dataclasses import dataclass
from enum import StrEnum

from cluster.resources import DISABLING_ANNOTATION, FORCE_DISABLE_ANNOTATION, VM_RUNTIME_NAME
from controller.objects import Runtime


class VMs(StrEnum):
    """Whether virtual machines exist."""

    NONE = "None"
    SOME = "Some"
    UNKNOWN = "Unknown"


class Obstacle(StrEnum):
    """What keeps the runtime from being switched off: the reason of the condition DisableBlocked."""

    NOTHING = "NotBlocked"
    PROTECTED = "VMsProtected"
    WAITING = "VMsMustBeDeleted"
    UNKNOWN = "VMsUnknown"


@dataclass(frozen=True, slots=True)
class Position:
    """Where the switch stands.

    Attributes:
        obstacle: What keeps it from being off, where its spec asks for that.
        message: The same for a person.
        in_force: Whether the runtime is on.
    """

    obstacle: Obstacle
    message: str
    in_force: bool = True


def must_ask_for_vms(runtime: Runtime) -> bool:
    """Tells whether the position depends on virtual machines."""
    return runtime.memory.enabled and not runtime.enabled


def position(runtime: Runtime, vms: VMs, told: str = "") -> Position:
    """Decides where the switch stands.

    Args:
        runtime: The VMRuntime.
        vms: Whether virtual machines exist; looked at only where `must_ask_for_vms`.
        told: What to do about the first one, or why that is not known.
    """
    if runtime.enabled and runtime.disabling:
        return Position(
            Obstacle.NOTHING,
            "the VM runtime is enabled, but takes no new virtual machines, since "
            "'vm-preflight disable vmruntime' is switching it off; if no such command runs any more: "
            f"kubectl annotate vmruntime {VM_RUNTIME_NAME} {DISABLING_ANNOTATION}-",
        )
    if runtime.enabled:
        return Position(Obstacle.NOTHING, "nobody asks to switch it off")
    if not runtime.memory.enabled or vms is VMs.NONE:
        return Position(Obstacle.NOTHING, "the VM runtime is disabled", in_force=False)
    if vms is VMs.UNKNOWN:
        return Position(
            Obstacle.UNKNOWN,
            f"not disabled: it cannot be told whether virtual machines exist: {told}",
        )
    if runtime.force_disable == "true":
        return Position(
            Obstacle.WAITING,
            f"virtual machines exist and must be deleted ({told}); "
            "the VM runtime switches off when the last is gone",
        )
    return Position(
        Obstacle.PROTECTED,
        "not disabled, because virtual machines exist and are protected: "
        f"delete them ({told}) or use 'vm-preflight disable vmruntime --force=true'; "
        "the VM runtime switches off when the last is gone",
    )


def gate_is_open(runtime: Runtime, *, passed: bool) -> bool:
    """Tells what the admission policy (``deploy/policies.yaml``) answers to a new virtual machine.

    Args:
        runtime: The VMRuntime.
        passed: Whether the last check that finished under the present enabling has passed.
    """
    in_force = runtime.enabled or runtime.memory.enabled
    return not in_force or (runtime.enabled and not runtime.disabling and passed)


def annotation_trouble(runtime: Runtime) -> str:
    """Returns what is wrong with the force-disable annotation, empty where nothing is."""
    if runtime.force_disable in (None, "true", "false"):
        return ""
    return (
        f"annotation {FORCE_DISABLE_ANNOTATION} is {runtime.force_disable[:64]!r}, "
        'neither "true" nor "false": it counts as "false"'
    )
