"""Causes why KVM cannot be used, and words that explaining them shares."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from linux.diagnosis.survey import LOG, Facts
from linux.kernel_log import Topic, first


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


def complaint(facts: Facts, module: str) -> str:
    """Returns what the kernel's log says of a module of KVM's that does not start, empty where it does not.

    What another vendor's module said, that somebody tried to load too, is left out.
    """
    others = {"kvm_intel": ("svm", "kvm_amd"), "kvm_amd": ("vmx", "kvm_intel")}.get(module, ())
    own = (message for message in facts.log if not any(word in message.text.lower() for word in others))
    return first(own, Topic.NOT_SUPPORTED)


def take_off(parameter: str) -> str:
    """Says how a parameter is taken off the kernel's command line."""
    return (
        f"take {parameter} off the kernel command line (Debian: /etc/default/grub, then update-grub; Fedora: "
        f"grubby --update-kernel=ALL --remove-args='{parameter}') and reboot"
    )


def unseen(facts: Facts) -> str:
    """Says in parentheses why the kernel's log tells nothing, empty where it was read."""
    return f" (the kernel log could not be read: {facts.log_error})" if facts.log_error else ""


def log(facts: Facts, message: str) -> Mapping[str, str]:
    """Returns what the kernel's log says as evidence, or that it could not be read."""
    shown = message or facts.log_error
    return {LOG: shown} if shown else {}


def to_see(facts: Facts, words: str) -> str:
    """Returns the command that shows what the kernel said, with the rights that it takes."""
    return f"{'sudo ' if facts.log_error else ''}dmesg | grep -iE '{words}'"
