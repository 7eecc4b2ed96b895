"""Explains an error that a call of the KVM interface gave (kernel: Documentation/virt/kvm/api.rst)."""

import errno

from linux import hypervisor, kernel_log, lookup
from linux.diagnosis import confinement, narrow, refusal, survey, virtualization
from linux.diagnosis.cause import Cause, Explanation
from linux.diagnosis.facts import unseen
from linux.kernel_log import Topic
from linux.kvm.uapi import PATH
from linux.reader import Reader

OTHER_HYPERVISORS = ("vboxdrv", "vmmon", "jailhouse")
"""Modules that take the CPU's extension for themselves."""

MONITORS = ("VBoxHeadless", "VirtualBoxVM", "vmware-vmx", "jailhouse")
"""Processes that run other hypervisors' VMs."""

_VCPU_CALLS = (
    *("KVM_GET_VCPU_MMAP_SIZE", "KVM_CREATE_VCPU", "mmap of the vCPU"),
    *("KVM_ARM_PREFERRED_TARGET", "KVM_ARM_VCPU_INIT"),
)

_NOT_ENABLED = (errno.EBUSY, errno.EIO)
"""What ``KVM_CREATE_VM`` answers where a CPU refused to switch its extension on (virt/kvm/kvm_main.c).

EBUSY up to Linux 6.11. Later kernels do it when the module is loaded, and answer EIO where
``kvm.enable_virt_at_load`` is off.
"""


def failed(reader: Reader, call: str, number: int) -> Explanation:
    """Explains the error number that a call gave; ``open`` is that of the device."""
    seccomp = confinement.seccomp(confinement.of_own_process(reader))
    # No call of KVM's answers ENOSYS: a filter does, that has the kernel look older than it is (seccomp(2)).
    if number in (errno.EPERM, errno.EACCES) or (number == errno.ENOSYS and seccomp):
        return refusal.kept_away(reader, opening=False, number=number)
    why = _by_call(reader, call, number)
    return why._replace(because=f"{why.because}; or {seccomp} answers so") if seccomp else why


def _by_call(reader: Reader, call: str, number: int) -> Explanation:
    if call in _VCPU_CALLS:
        return Explanation(Cause.CREATE_VCPU_FAILED, "a VM was created, a vCPU was not")
    if call == "KVM_GET_API_VERSION" and number == errno.EINVAL and (why := narrow.refused(reader)):
        return why
    if call == "KVM_GET_API_VERSION":
        cause = Cause.CREATE_VM_FAILED if number == errno.ENOSYS else Cause.WRONG_DEVICE
        return Explanation(cause, f"{PATH} opens, but KVM never answers so: it is another device")
    if call == "open" and number != errno.EBUSY:
        return Explanation(Cause.CREATE_VM_FAILED, "the device cannot be opened, so no VM can be created")
    power = lookup.architecture(reader, lookup.processors(reader)).startswith("ppc")
    if call == "KVM_RUN" and number == errno.EBUSY and power:
        return Explanation(
            Cause.GUEST_FAILED,
            "on POWER8 a core runs a guest only while its other threads are offline "
            "(arch/powerpc/kvm/book3s_hv.c, kvmppc_run_core)",
            "ppc64_cpu --smt=off",
        )
    if call == "KVM_CHECK_EXTENSION":
        return Explanation(Cause.CREATE_VM_FAILED, "the device answers as KVM, but does not tell what it can")
    if call not in ("open", "KVM_CREATE_VM"):
        return Explanation(Cause.GUEST_FAILED, "a VM and a vCPU were created, the guest could not be run")
    if number in _NOT_ENABLED:
        return _not_enabled(reader, number)
    if call == "KVM_CREATE_VM" and number == errno.EINVAL and power:
        return _nothing_makes_vms(reader)
    return Explanation(Cause.CREATE_VM_FAILED, "the device answers as KVM, but creates no VM")


_POWER_MODULES = frozenset({"kvm_hv", "kvm_pr"})
"""What makes VMs on POWER; ``/dev/kvm`` comes with the module kvm alone (arch/powerpc/kvm/powerpc.c)."""


def _nothing_makes_vms(reader: Reader) -> Explanation:
    """EINVAL on POWER: nothing is there to make VMs with; why is what explains a KVM that is not there.

    In a partition, kvm_hv refuses to be loaded where the hypervisor does not offer nesting, and says so in
    the kernel's log. Where that cannot be read, such a refusal looks like a module that nobody loaded.
    """
    facts = survey.take(reader)
    why = virtualization.explain(facts)
    if why.cause is Cause.MODULE_NOT_LOADED:
        there = facts.modules.loaded & _POWER_MODULES or not facts.modules.listed
        if facts.cpu.platform.startswith("pSeries") and (there or facts.log_error):
            return Explanation(
                Cause.NESTED_NOT_EXPOSED,
                f"the platform is {facts.cpu.platform}, a VM under {hypervisor.POWER.name} without nesting"
                f"{unseen(facts)}",
                f"{hypervisor.POWER.hint}; to see: modprobe kvm_hv; dmesg | grep -i nesting",
                evidence={"/proc/cpuinfo": f"platform {facts.cpu.platform}"},
            )
        if there:
            return Explanation(Cause.CREATE_VM_FAILED, "the device answers as KVM, but creates no VM")
    return why._replace(because=f"the module kvm alone makes no VMs: {why.because}")


def _not_enabled(reader: Reader, number: int) -> Explanation:
    """Another hypervisor, a CPU that came online without the extension, or one that refuses it."""
    cause = Cause.HYPERVISOR_BUSY if number == errno.EBUSY else Cause.CREATE_VM_FAILED
    said = _kernel_says(reader)
    others = [name for name in OTHER_HYPERVISORS if reader.exists(f"/sys/module/{name}")]
    if others:
        names = " ".join(others)
        running = [f"{name} (process {process})" for process, name in _processes(reader) if name in MONITORS]
        whose = f", and runs a VM in {', '.join(running[:4])}" if running else ""
        return Explanation(
            cause,
            f"another hypervisor holds the CPU's extension: module {names} is loaded{whose}{said}",
            f"stop its VMs, then: modprobe -r {names}",
        )
    cpu = lookup.processors(reader)
    able = frozenset(cpu.cpus_with("vmx", "svm"))
    unable = [str(number) for number in cpu.flags if number not in able]
    if able and unable:
        return Explanation(
            cause,
            f"CPU {', '.join(unable[:8])} lacks the flag that others have; KVM needs it on all{said}",
            f"echo 0 > /sys/devices/system/cpu/cpu{unable[0]}/online; or enable it for all in firmware",
        )
    return Explanation(
        cause,
        "another hypervisor holds the CPU's extension, or a CPU that came online was refused it; no module "
        f"of another hypervisor is loaded, and the CPUs' flags do not differ{said}",
        "dmesg | grep -iE 'kvm|vmx|svm|microcode'; lsmod; on a VM, its hypervisor's nested virtualization",
    )


def _kernel_says(reader: Reader) -> str:
    """What the kernel's log says about a CPU that refused its extension, or why that is not known."""
    try:
        said = kernel_log.first(kernel_log.find(reader.kernel_log()), Topic.NOT_ENABLED)
    except OSError as error:
        return f" (the kernel log could not be read: {error.strerror})"
    return f"; the kernel log says: {said}" if said else ""


def _processes(reader: Reader) -> list[tuple[int, str]]:
    try:
        return reader.processes()
    except OSError:  # the module says enough
        return []
