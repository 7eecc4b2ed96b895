"""Explains an error that a call of the KVM interface gave (kernel: Documentation/virt/kvm/api.rst)."""

import errno

from linux import hypervisor, lookup, process
from linux.diagnosis import refusal
from linux.diagnosis.cause import Cause, Explanation
from linux.reader import Reader, own

OTHER_HYPERVISORS = ("vboxdrv", "vmmon", "jailhouse")
"""Modules that take the CPU's extension for themselves."""

MONITORS = ("VBoxHeadless", "VirtualBoxVM", "vmware-vmx", "jailhouse")
"""Processes that run other hypervisors' VMs."""

_VCPU_CALLS = ("KVM_GET_VCPU_MMAP_SIZE", "KVM_CREATE_VCPU", "mmap of the vCPU")


def failed(reader: Reader, call: str, number: int) -> Explanation:
    """Explains the error number that a call gave; ``open`` is that of the device."""
    # No call of KVM's answers ENOSYS: a filter does, that has the kernel look older than it is (seccomp(2)).
    filtered = number == errno.ENOSYS and bool(process.parse(own(reader, "status")).seccomp)
    if number in (errno.EPERM, errno.EACCES) or filtered:
        return refusal.kept_away(reader, opening=False)
    if call in _VCPU_CALLS:
        return Explanation(Cause.CREATE_VCPU_FAILED, "a VM was created, a vCPU was not")
    if call == "KVM_GET_API_VERSION":
        return Explanation(Cause.CREATE_VM_FAILED, "the device opens, but does not answer as KVM")
    if call == "open" and number != errno.EBUSY:
        return Explanation(Cause.CREATE_VM_FAILED, "the device cannot be opened, so no VM can be created")
    if call not in ("open", "KVM_CREATE_VM", "KVM_CHECK_EXTENSION"):
        return Explanation(Cause.GUEST_FAILED, "a VM and a vCPU were created, the guest could not be run")
    if number == errno.EBUSY:
        return _busy(reader)
    platform = lookup.processors(reader).platform if number == errno.EINVAL else ""
    if platform.startswith("pSeries"):
        return Explanation(
            Cause.NESTED_NOT_EXPOSED,
            f"the platform is {platform}, a VM under {hypervisor.POWER.name} without nesting",
            hypervisor.POWER.hint,
        )
    return Explanation(Cause.CREATE_VM_FAILED, "the device answers as KVM, but creates no VM")


def _busy(reader: Reader) -> Explanation:
    """EBUSY: another hypervisor, or a CPU that came online without the extension and was refused."""
    others = [name for name in OTHER_HYPERVISORS if reader.exists(f"/sys/module/{name}")]
    if others:
        names = " ".join(others)
        running = [f"{name} (process {number})" for number, name in _processes(reader) if name in MONITORS]
        whose = f", and runs a VM in {', '.join(running[:4])}" if running else ""
        return Explanation(
            Cause.HYPERVISOR_BUSY,
            f"another hypervisor holds the CPU's extension: module {names} is loaded{whose}",
            f"stop its VMs, then: modprobe -r {names}",
        )
    cpu = lookup.processors(reader)
    able = frozenset(cpu.cpus_with("vmx", "svm"))
    unable = [str(number) for number in cpu.flags if number not in able]
    if able and unable:
        return Explanation(
            Cause.HYPERVISOR_BUSY,
            f"CPU {', '.join(unable[:8])} lacks the flag that others have; KVM needs it on all",
            f"echo 0 > /sys/devices/system/cpu/cpu{unable[0]}/online; or enable it for all in firmware",
        )
    return Explanation(
        Cause.HYPERVISOR_BUSY,
        "another hypervisor holds the CPU's extension, or a CPU that came online was refused it; no module "
        "of another hypervisor is loaded, and the CPUs' flags do not differ",
    )


def _processes(reader: Reader) -> list[tuple[int, str]]:
    try:
        return reader.processes()
    except OSError:  # the module says enough
        return []
