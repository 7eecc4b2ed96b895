"""Which KVM backend is registered with the kernel, and does it page in hardware?

Reads ``/proc/misc`` (``/sys/class/misc/kvm`` where that cannot be read) and the parameters of the backends
in ``/sys/module`` (kernel: Documentation/admin-guide/kernel-parameters.txt, kvm-intel.ept, kvm-amd.npt,
…nested). Whether a module is loaded decides nothing: KVM is often built in.
"""

from linux import lookup, modules
from linux.reader import text
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown, warning

BACKENDS = ("kvm_intel", "kvm_amd", "kvm_pvm", "kvm_hv", "kvm_pr", "kvm")
"""Modules that register KVM; on arm64, s390x, riscv64 and loongarch64 it is kvm itself."""

PAGING = {"kvm_intel": "ept", "kvm_amd": "npt"}

REGISTERED = passing("Registered")
NO_HARDWARE_PAGING = warning(
    "NoHardwarePaging",
    hint="VMs will be slow; remove ept=0 or npt=0: grep -rE 'ept|npt' /etc/modprobe.d /proc/cmdline",
)
NOT_REGISTERED = failing(
    "NotRegistered", hint="the result of KVM has the cause and what to do: vm-preflight run --only KVM"
)
UNREADABLE = unknown("Unreadable", hint="cat /proc/misc; in a container, mount the host's /proc")


@check(
    "KVMModules",
    question="Which KVM backend is registered with the kernel, and does it page in hardware?",
    weight=ADVISORY,
    outcomes=(REGISTERED, NO_HARDWARE_PAGING, NOT_REGISTERED, UNREADABLE),
    reads=(
        "/proc/misc",
        "/sys/class/misc/kvm/dev",
        "/sys/module/kvm_*/parameters/{ept,npt,nested}",
        "/proc/modules",
    ),
    source="kernel: Documentation/admin-guide/kernel-parameters.txt",
)
def kvm_modules(host: Host, run: Run) -> Finding:
    """Looks up the registration, then the backend and its parameters."""
    minor = lookup.registered(host)
    if minor is None:
        if not text(host, "/proc/misc") and not host.exists("/sys/class/misc"):
            return UNREADABLE("neither /proc/misc nor /sys/class/misc can be read")
        where = "/proc/misc" if text(host, "/proc/misc") else "/sys/class/misc"
        return NOT_REGISTERED(f"KVM is not registered with the kernel: {where} does not list it")
    loaded = modules.loaded(text(host, "/proc/modules"))
    backend = next((name for name in BACKENDS if name in loaded or host.exists(f"/sys/module/{name}")), "")
    if not backend:
        built_in = "the backend is built in and tells no name"
        told = built_in if host.exists("/sys/module") else "without /sys/module its backend cannot be seen"
        return REGISTERED(f"KVM is registered (10:{minor}); {told}")
    parameters = f"/sys/module/{backend}/parameters"
    evidence = {
        f"{parameters}/{name}": value
        for name in (PAGING.get(backend), "nested")
        if name and (value := text(host, f"{parameters}/{name}").strip())
    }
    told = "".join(f", {path.rpartition('/')[2]}={value}" for path, value in evidence.items())
    message = f"KVM is registered (10:{minor}), backend {backend}{told}"
    if evidence.get(f"{parameters}/{PAGING.get(backend)}") in ("N", "0"):
        return NO_HARDWARE_PAGING(f"{message}: guests' memory is paged in software", evidence=evidence)
    return REGISTERED(message, evidence=evidence)
