"""Which confidential virtual machines can the node run?

Reads what KVM offers: the parameters of ``kvm_amd`` (kernel:
Documentation/virt/kvm/x86/amd-memory-encryption.rst) and ``kvm_intel`` (Documentation/arch/x86/tdx.rst),
which the modules set to what hardware and firmware let them; on s390x ``prot_virt_host``
(Documentation/virt/kvm/s390/s390-pv-boot.rst). Where they offer nothing, the CPU's flags tell whether it
could. Most machines have none of it, which is no fault.
"""

from linux import lookup
from linux.architecture import X86
from linux.errors import words
from linux.reader import text
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, passing, skipping, unknown

CPUINFO = "/proc/cpuinfo"
ULTRAVISOR = "/sys/firmware/uv/prot_virt_host"

KINDS = (
    ("AMD SEV-SNP", "/sys/module/kvm_amd/parameters/sev_snp", "sev_snp"),
    ("AMD SEV-ES", "/sys/module/kvm_amd/parameters/sev_es", "sev_es"),
    ("AMD SEV", "/sys/module/kvm_amd/parameters/sev", "sev"),
    ("Intel TDX", "/sys/module/kvm_intel/parameters/tdx", "tdx_host_platform"),
)
"""Name, KVM's parameter, and the CPU's flag in ``/proc/cpuinfo``; the strongest first."""

AVAILABLE = passing("Available")
NOT_ENABLED = passing("NotEnabled")
NONE_FOUND = passing("NoneFound")
NOT_APPLICABLE = skipping("NotApplicable")
UNREADABLE = unknown("Unreadable", hint="head /proc/cpuinfo; in a container, mount the host's /proc and /sys")


@check(
    "SecureGuest",
    question="Which confidential virtual machines can the node run?",
    weight=ADVISORY,
    outcomes=(AVAILABLE, NOT_ENABLED, NONE_FOUND, NOT_APPLICABLE, UNREADABLE),
    reads=(
        "/sys/module/kvm_amd/parameters/{sev,sev_es,sev_snp}",
        "/sys/module/kvm_intel/parameters/tdx",
        ULTRAVISOR,
        CPUINFO,
    ),
    source="kernel: Documentation/virt/kvm/x86/amd-memory-encryption.rst, arch/x86/tdx.rst, "
    "virt/kvm/s390/s390-pv-boot.rst",
)
def secure_guest(host: Host, run: Run) -> Finding:
    """Asks KVM first, then the CPU."""
    evidence = {path: value for _, path, _ in KINDS if (value := text(host, path).strip())}
    if offered := [name for name, path, _ in KINDS if evidence.get(path) in ("Y", "1")]:
        return AVAILABLE(f"KVM offers {', '.join(offered)}", evidence=evidence)
    try:
        info = lookup.first_processors(host)
    except OSError as error:
        return UNREADABLE(f"reading {CPUINFO}: {words(error.errno or 0)}", evidence=evidence)
    machine = lookup.architecture(host, info)
    if machine == "s390x":
        return _s390(host)
    if machine not in X86:
        return NOT_APPLICABLE(f"no kind of confidential VM is known for {machine or 'this architecture'}")
    if not info.flags:
        return UNREADABLE(f"{CPUINFO} shows no CPU", evidence=evidence)
    if could := [(name, path, flag) for name, path, flag in KINDS if info.has(flag)]:
        name, path, flag = could[0]
        evidence[CPUINFO] = " ".join(flag for _, _, flag in could)
        said = f"{path} says {evidence[path]}" if path in evidence else f"there is no {path}"
        return NOT_ENABLED(
            f"the CPU has {flag} ({name}), but {said}: firmware, or a parameter", evidence=evidence
        )
    return NONE_FOUND("neither KVM nor the CPU shows SEV or TDX", evidence=evidence)


def _s390(host: Host) -> Finding:
    said = text(host, ULTRAVISOR).strip()
    if said == "1":
        return AVAILABLE("the ultravisor offers Secure Execution", evidence={ULTRAVISOR: said})
    if said == "0":
        return NOT_ENABLED(
            f"{ULTRAVISOR} says 0: prot_virt=1 is not on the kernel command line", evidence={ULTRAVISOR: said}
        )
    if said or not host.exists("/sys/firmware"):
        return UNREADABLE(f"{ULTRAVISOR} tells nothing")
    return NONE_FOUND(f"this machine shows no Secure Execution: there is no {ULTRAVISOR}")
