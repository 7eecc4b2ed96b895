"""Causes why KVM is not there, and words that explaining them shares."""

from enum import StrEnum
from typing import NamedTuple

from linux.survey import Facts


class Cause(StrEnum):
    """Why KVM is not there; the values are reasons of the `KVM` check."""

    MODULE_NOT_LOADED = "ModuleNotLoaded"
    MODULE_BLACKLISTED = "ModuleBlacklisted"
    MODULE_MISSING = "ModuleMissing"
    DISABLED_BY_KERNEL_PARAMETER = "DisabledByKernelParameter"
    DISABLED_BY_FIRMWARE = "DisabledByFirmware"
    NESTED_NOT_EXPOSED = "NestedNotExposed"
    CONFIDENTIAL_GUEST = "ConfidentialGuest"
    NO_VIRTUALIZATION = "NoVirtualization"
    UNSUPPORTED = "Unsupported"


class Explanation(NamedTuple):
    """Why KVM is not there.

    Attributes:
        cause: The cause.
        because: What tells it, as a clause.
        hint: What to do, None where the cause alone says it.
        ask_cpu: The CPU itself, asked for its raw flags, could still tell more.
    """

    cause: Cause
    because: str
    hint: str | None = None
    ask_cpu: bool = False


def take_off(parameter: str) -> str:
    """Says how a parameter is taken off the kernel's command line."""
    return f"take {parameter} off the kernel command line (/etc/default/grub, then update-grub) and reboot"


def unseen(facts: Facts) -> str:
    """Says in parentheses why the kernel's log tells nothing, empty where it was read."""
    return f" (the kernel log could not be read: {facts.log_error})" if facts.log_error else ""
