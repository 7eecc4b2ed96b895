"""Does a guest run?

Opens ``/dev/kvm``, makes a VM and a vCPU, and runs a guest's instructions that must give an expected value
(kernel: Documentation/virt/kvm/api.rst). Where that fails, `linux.diagnosis` tells why from evidence. A flag
in ``/proc/cpuinfo`` decides nothing: there are machines that run guests without one.
"""

import errno
import os
import stat
import time
from typing import TYPE_CHECKING

from linux import device_node, opening
from linux.errors import ABSENT, EXHAUSTED, code, words
from linux.kvm import guests, latency, uapi
from linux.kvm.exits import GuestError, GuestTimeoutError, NoGuestError
from linux.kvm.interrupts import TimeLimit
from linux.kvm.machine import VM, CallError, api_version
from linux.kvm.uapi import PATH
from linux.reader import lacking
from preflight.check import UNLESS_EMULATED, Run, check
from preflight.device import Device
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown

if TYPE_CHECKING:
    from linux.diagnosis.cause import Explanation

guests.find(os.uname().machine)  # imported here once, and not by the process of each run

GUEST_SECONDS = 2.0
"""Time for a guest that needs a millisecond: nested on a busy machine, it can take a hundred times that."""

GUEST_RAN = passing("GuestRan")
VCPU_CREATED = passing("VCPUCreated")
DEVICE_MISSING = failing(
    "DeviceMissing", hint="mknod /dev/kvm c 10 232; to have udev make it: udevadm trigger"
)
DEVICE_NOT_IN_CONTAINER = unknown("DeviceNotInContainer", hint=opening.where_not_given(PATH))
NOT_CHARACTER_DEVICE = failing(
    "NotCharacterDevice", hint="mv /dev/kvm /dev/kvm.wrong && mknod /dev/kvm c 10 232; find out what made it"
)
WRONG_DEVICE = failing("WrongDevice", hint="rm /dev/kvm && mknod /dev/kvm c 10 232; find out what made it")
STALE_DEVICE = failing("StaleDevice", hint="modprobe kvm_intel || modprobe kvm_amd; dmesg | grep -i kvm")
NODEV_MOUNT = failing("NodevMount", hint="mount -o remount,dev on the file system that /dev/kvm is on")
PERMISSION_DENIED = unknown("PermissionDenied", hint='sudo usermod -aG kvm "$USER", then log in again')
PERMISSION_DENIED_TO_ROOT = failing(
    "PermissionDenied", hint="ls -lZ /dev/kvm; getfacl /dev/kvm; ausearch -m avc"
)
DEVICE_CGROUP_DENIED = unknown(
    "DeviceCgroupDenied",
    hint="allow this process the device: a privileged pod, docker run --device /dev/kvm, or systemd's "
    "DeviceAllow=/dev/kvm rw",
)
MODULE_NOT_LOADED = failing("ModuleNotLoaded", hint="modprobe kvm_intel || modprobe kvm_amd")
MODULE_BLACKLISTED = failing(
    "ModuleBlacklisted", hint="grep -rE 'kvm' /etc/modprobe.d /run/modprobe.d /proc/cmdline"
)
MODULE_MISSING = failing(
    "ModuleMissing",
    hint="install a kernel with KVM, or its modules (Fedora: dnf install kernel-modules), and reboot",
)
DISABLED_BY_KERNEL_PARAMETER = failing(
    "DisabledByKernelParameter", hint="cat /proc/cmdline; take it off, and reboot"
)
DISABLED_BY_FIRMWARE = failing(
    "DisabledByFirmware",
    hint="systemctl reboot --firmware-setup; there enable Intel Virtualization Technology (VT-x) or AMD SVM "
    "Mode; then power off completely and on again",
)
NESTED_NOT_EXPOSED = failing(
    "NestedNotExposed", hint="enable nested virtualization for this VM in its hypervisor"
)
CONFIDENTIAL_GUEST = failing(
    "ConfidentialGuest",
    hint="use a machine type without SEV or TDX for this node: confidential guests cannot nest",
)
NO_VIRTUALIZATION = failing(
    "NoVirtualization",
    hint="systemctl reboot --firmware-setup; look there for Intel VT-x or AMD SVM; where there is none, this "
    "machine runs VMs by emulation only (useEmulation)",
)
HYPERVISOR_BUSY = failing(
    "HypervisorBusy",
    hint="lsmod | grep -E 'vbox|vmmon|xen'; stop the other hypervisor, unload it; dmesg | grep -i kvm",
)
CREATE_VM_FAILED = failing("CreateVMFailed", hint="dmesg | grep -iE 'kvm|vmx|svm'")
CREATE_VCPU_FAILED = failing("CreateVCPUFailed", hint="dmesg | grep -iE 'kvm|vmx|svm'")
GUEST_FAILED = failing(
    "GuestFailed",
    hint="dmesg | grep -iE 'kvm|vmx|svm'; on a VM, its hypervisor's nested virtualization is broken",
)
GUEST_TIMED_OUT = failing(
    "GuestTimedOut",
    hint="on a VM, its hypervisor's nested virtualization is broken or starved; else look at: uptime",
)
RESOURCE_EXHAUSTED = unknown(
    "ResourceExhausted", hint="free -m; sysctl fs.file-nr; ulimit -n; then run again"
)
UNSUPPORTED = unknown(
    "Unsupported", hint="report this architecture or kernel with: uname -a; head -40 /proc/cpuinfo"
)

OUTCOMES = (
    GUEST_RAN,
    VCPU_CREATED,
    DEVICE_MISSING,
    DEVICE_NOT_IN_CONTAINER,
    NOT_CHARACTER_DEVICE,
    WRONG_DEVICE,
    STALE_DEVICE,
    NODEV_MOUNT,
    PERMISSION_DENIED,
    PERMISSION_DENIED_TO_ROOT,
    DEVICE_CGROUP_DENIED,
    MODULE_NOT_LOADED,
    MODULE_BLACKLISTED,
    MODULE_MISSING,
    DISABLED_BY_KERNEL_PARAMETER,
    DISABLED_BY_FIRMWARE,
    NESTED_NOT_EXPOSED,
    CONFIDENTIAL_GUEST,
    NO_VIRTUALIZATION,
    HYPERVISOR_BUSY,
    CREATE_VM_FAILED,
    CREATE_VCPU_FAILED,
    GUEST_FAILED,
    GUEST_TIMED_OUT,
    RESOURCE_EXHAUSTED,
    UNSUPPORTED,
)

_BY_REASON = {outcome.reason: outcome for outcome in reversed(OUTCOMES)}
"""The first outcome of each reason."""


@check(
    "KVM",
    question="Does a guest run?",
    weight=UNLESS_EMULATED,
    outcomes=OUTCOMES,
    reads=(
        "/dev/kvm: open, KVM_GET_API_VERSION, KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_RUN",
        "where that fails: /proc/misc, /proc/cpuinfo, /proc/cmdline, /proc/self, /dev/kmsg",
        "where that fails: /sys/class/dmi/id, /sys/hypervisor, /proc/device-tree, /sys/module, /lib/modules",
        "where that fails: modprobe.d, /proc/config.gz, /boot/config-RELEASE, /sys/kernel/security/lockdown",
        "where it is refused: access(2), its ACL, /etc/group, the device cgroup, /sys/kernel/security/lsm",
        "where that fails: /dev/cpu/0/msr where it is there already, and CPUID, in a process of its own",
    ),
    source="kernel: Documentation/virt/kvm/api.rst",
    timeout=10.0,
)
def kvm(host: Host, run: Run) -> Finding:
    """Runs a guest, or tells why none runs."""
    try:
        return _ask(host)
    except MemoryError:
        return _exhausted("allocating memory", errno.ENOMEM)
    except OSError as error:  # of what is imported on the way; the device's own are told apart below
        if error.errno not in EXHAUSTED:
            raise
        return _exhausted("importing a module", error.errno)


def _ask(host: Host) -> Finding:
    try:
        status = host.stat(PATH)
        kind = device_node.kind(status.st_mode)
        if not stat.S_ISCHR(status.st_mode):
            return NOT_CHARACTER_DEVICE(
                f"{PATH} is {kind}, not a character device; it was not opened",
                evidence={PATH: kind},
            )
        if (os.major(status.st_rdev), os.minor(status.st_rdev)) != (uapi.MISC_MAJOR, uapi.KVM_MINOR):
            foreign = _foreign(host, status.st_rdev)
            if foreign is not None:
                return foreign
        device = host.open_device(PATH)
    except OSError as error:
        return _not_opened(host, error.errno or 0)
    with device:
        return _use(host, device)


def _use(host: Host, device: Device) -> Finding:
    """Asks an open device whether it is KVM, and runs a guest."""
    try:
        version = api_version(device, host.own_architecture)
    except CallError as error:
        return _call_failed(host, error.call, error.errno)
    if version != uapi.API_VERSION:
        return WRONG_DEVICE(
            f"{PATH} opens, but KVM_GET_API_VERSION gives {version}, not {uapi.API_VERSION}",
            evidence={"KVM_GET_API_VERSION": str(version)},
        )
    try:
        return _run_guest(device, host.own_architecture)
    except CallError as error:
        return _call_failed(host, error.call, error.errno)
    except GuestError as error:
        return GUEST_FAILED(f"KVM_RUN: {error}", evidence={"KVM_RUN": str(error)})
    except GuestTimeoutError:
        return GUEST_TIMED_OUT(
            f"KVM_RUN: a guest of a few instructions did not finish in {GUEST_SECONDS:g} s",
            evidence={"KVM_RUN": f"{GUEST_SECONDS:g} s"},
        )


def _run_guest(device: Device, machine: str) -> Finding:
    evidence = {"KVM_GET_API_VERSION": str(uapi.API_VERSION)}
    guest = guests.find(machine)
    with VM(device, machine) as vm, vm.create_vcpu() as vcpu:
        try:
            with TimeLimit(GUEST_SECONDS, time.monotonic) as limit:
                told = guest(vm, vcpu, limit.expired)
        except NoGuestError as error:
            return VCPU_CREATED(
                f"{PATH} opens, a VM and a vCPU were created; no instruction was run: {error}",
                evidence=evidence,
            )
        # Timed here for the check GuestExitLatency: another VM would cost more than all of the rest.
        exits = latency.take(device, vcpu, monotonic=time.monotonic, nanoseconds=time.perf_counter_ns)
        return GUEST_RAN(f"{PATH} opens, and {told}", evidence={**evidence, latency.KEY: exits})


# What follows is imported where it is needed: a node that runs guests never does.


def _foreign(host: Host, number: int) -> Finding | None:
    """Tells that a device number is not KVM's, None where it is."""
    lack = lacking(host)
    if lack:
        return _exhausted("reading /proc/misc", lack)
    from linux.diagnosis import node

    why = node.foreign(host, number)
    return why and _finding(host, why, why.because, {PATH: f"{os.major(number)}:{os.minor(number)}"})


def _not_opened(host: Host, number: int) -> Finding:
    """Tells why the device cannot be opened, or what is not there."""
    lack = number if number in EXHAUSTED else lacking(host)
    if lack:
        return _exhausted(f"opening {PATH}", lack)
    if number == errno.ENOTTY:
        return NOT_CHARACTER_DEVICE(f"{PATH} was replaced while it was opened; it was closed again")
    why = _refused(host, number) if number in (errno.EACCES, errno.EPERM) else _not_there(host, number)
    return _finding(host, why, f"opening {PATH}: {words(number)}; {why.because}", {PATH: code(number)})


def _refused(host: Host, number: int) -> "Explanation":
    from linux.diagnosis import refusal

    return refusal.access(host) if number == errno.EACCES else refusal.kept_away(host, opening=True)


def _not_there(host: Host, number: int) -> "Explanation":
    from linux.diagnosis import calls, node

    if number in ABSENT:
        return node.missing(host)
    if number in (errno.ENODEV, errno.ENXIO):
        return node.stale(host)
    return calls.failed(host, "open", number)


def _call_failed(host: Host, call: str, number: int) -> Finding:
    """Tells why a call of the KVM interface failed."""
    lack = number if number in EXHAUSTED else lacking(host)
    if lack:
        return _exhausted(call, lack)
    from linux.diagnosis import calls

    why = calls.failed(host, call, number)
    return _finding(host, why, f"{call}: {words(number)}; {why.because}", {call: code(number)})


def _exhausted(call: str, number: int) -> Finding:
    return RESOURCE_EXHAUSTED(
        f"{call}: {words(number)}; this process or the host lacks descriptors or memory",
        evidence={call: code(number)},
    )


def _finding(host: Host, why: "Explanation", message: str, evidence: dict[str, str]) -> Finding:
    from linux.diagnosis import confinement

    outcome = _BY_REASON[why.cause.value]
    if outcome is PERMISSION_DENIED and confinement.is_root(host):
        outcome = PERMISSION_DENIED_TO_ROOT
    return outcome(message, hint=why.hint, evidence={**evidence, **why.evidence})
