"""Causes why KVM cannot be used, and what explaining one comes to."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Cause(StrEnum):
    """Why KVM cannot be used; the values are reasons of the `KVM` check."""

    DEVICE_MISSING = "DeviceMissing"
    DEVICE_NOT_IN_CONTAINER = "DeviceNotInContainer"
    WRONG_DEVICE = "WrongDevice"
    STALE_DEVICE = "StaleDevice"
    NODEV_MOUNT = "NodevMount"
    PERMISSION_DENIED = "PermissionDenied"
    DEVICE_CGROUP_DENIED = "DeviceCgroupDenied"
    HYPERVISOR_BUSY = "HypervisorBusy"
    CREATE_VM_FAILED = "CreateVMFailed"
    CREATE_VCPU_FAILED = "CreateVCPUFailed"
    GUEST_FAILED = "GuestFailed"
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
    """Why KVM cannot be used.

    Attributes:
        cause: The cause.
        because: What tells it, in one line.
        hint: What to do, None where the cause alone says it.
        ask_cpu: The CPU itself, asked for its raw flags, could still tell more.
        evidence: What was read, beside what the check itself shows.
    """

    cause: Cause
    because: str
    hint: str | None = None
    ask_cpu: bool = False
    evidence: Mapping[str, str] = MappingProxyType({})


def take_off(parameter: str) -> str:
    """Says how a parameter is taken off the kernel's command line."""
    return (
        f"take {parameter} off the kernel command line (Debian: /etc/default/grub, then update-grub; Fedora: "
        f"grubby --update-kernel=ALL --remove-args='{parameter}') and reboot"
    )
