"""Why KVM is not registered, from facts alone: a table of what tells, and what must not change the cause."""

from collections.abc import Callable
from itertools import product

import machines
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import x86

from linux import cmdline, cpuinfo, hypervisor, kernel_log, modprobe, modules
from linux.architecture import ARCHITECTURES
from linux.diagnosis.cause import Cause
from linux.diagnosis.facts import LOG, Facts, Sign
from linux.diagnosis.module_survey import MODULES
from linux.diagnosis.survey import REGISTERS
from linux.diagnosis.virtualization import explain
from linux.hypervisor import Hypervisor
from linux.kernel_log import Topic
from linux.modules import Modules
from linux.raw_cpuid import RawCPU

RELEASE = "6.12.0-1-amd64"
_KVM = "kernel/arch/x86/kvm/kvm.ko kernel/virt/lib/irqbypass.ko"
DEP = (
    "kernel/arch/x86/kvm/kvm.ko: kernel/virt/lib/irqbypass.ko\n"
    f"kernel/arch/x86/kvm/kvm-intel.ko: {_KVM}\n"
    f"kernel/arch/x86/kvm/kvm-amd.ko: {_KVM} kernel/drivers/crypto/ccp/ccp.ko\n"
)
FOLDER = f"/lib/modules/{RELEASE}"
WITH_MODULES = Modules(
    release=RELEASE,
    folder=FOLDER,
    listed=True,
    builtin=frozenset(),
    on_disk=modules.dependencies(DEP, MODULES),
)
INTEL = cpuinfo.parse(x86("vmx"))
AMD = cpuinfo.parse(x86("svm", vendor="AuthenticAMD"))
HYGON = cpuinfo.parse(x86("svm", vendor="HygonGenuine"))
ZHAOXIN = cpuinfo.parse(x86("vmx", vendor="Shanghai"))
PLAIN_INTEL = cpuinfo.parse(x86())
PLAIN_AMD = cpuinfo.parse(x86(vendor="AuthenticAMD"))
VM = cpuinfo.parse(x86("hypervisor"))
SOME = cpuinfo.parse(
    x86("svm", cpus=2, vendor="AuthenticAMD") + "\n" + x86(cpus=4, vendor="AuthenticAMD").split("\n\n", 2)[2]
)
SILENT = RawCPU(frozenset())


def machine(**changes: object) -> Facts:
    """Returns a bare-metal Intel server whose module is on disk and not loaded, with changes."""
    return Facts(architecture="x86_64", cpu=INTEL, modules=WITH_MODULES)._replace(**changes)


def known(**changes: object) -> Modules:
    return WITH_MODULES._replace(**changes)


def line(text: str) -> cmdline.CommandLine:
    return cmdline.parse(text)


def log(*messages: str) -> tuple[kernel_log.Message, ...]:
    found = tuple(kernel_log.find(messages))
    assert len(found) == len(messages)
    return found


def conf(text: str) -> tuple[modprobe.Rule, ...]:
    return tuple(modprobe.rules("/etc/modprobe.d/a.conf", text))


def other(architecture: str, text: str, **changes: object) -> Facts:
    return Facts(architecture=architecture, cpu=cpuinfo.parse(text))._replace(**changes)


EL1 = log("CPU: All CPU(s) started at EL1", "kvm [1]: HYP mode not available")
ARM = machines.ARM
NO_SIE, SIE = machines.S390.format(sie=""), machines.S390.format(sie=" sie")
NO_H, H = machines.RISCV.format(h=""), machines.RISCV.format(h="h")

TABLE: dict[str, tuple[Facts, Cause, str]] = {
    # The module is there, and nobody loaded it, or could.
    "not loaded": (machine(), Cause.MODULE_NOT_LOADED, "kvm_intel is on disk but not loaded"),
    "not loaded, AMD": (machine(cpu=AMD), Cause.MODULE_NOT_LOADED, "kvm_amd is on disk"),
    "not loaded, Hygon": (machine(cpu=HYGON), Cause.MODULE_NOT_LOADED, "kvm_amd is on disk"),
    "not loaded, Zhaoxin": (machine(cpu=ZHAOXIN), Cause.MODULE_NOT_LOADED, "kvm_intel is on disk"),
    "not loaded, log unread": (
        machine(log_error="Operation not permitted"),
        Cause.MODULE_NOT_LOADED,
        "the kernel log could not be read: Operation not permitted",
    ),
    "no list of modules": (
        machine(modules=Modules(release=RELEASE)),
        Cause.MODULE_NOT_LOADED,
        "kvm_intel is not loaded",
    ),
    "modules_disabled": (machine(modules=known(disabled=True)), Cause.MODULE_NOT_LOADED, "modules_disabled"),
    "only kvm is loaded": (
        machine(modules=known(loaded=frozenset({"kvm"}))),
        Cause.MODULE_NOT_LOADED,
        "kvm_intel is on disk",
    ),
    "some CPUs only": (
        machine(cpu=SOME, log=log("kvm_amd: SVM not supported by CPU 2")),
        Cause.MODULE_NOT_LOADED,
        "2 of 4 CPUs can, and KVM needs all that are online; kvm_amd is on disk but not loaded; the kernel",
    ),
    "depmod forgotten": (
        machine(
            modules=known(
                on_disk={}, forgotten={"kvm_intel": "/lib/modules/x/kernel/arch/x86/kvm/kvm-intel.ko"}
            )
        ),
        Cause.MODULE_NOT_LOADED,
        "modules.dep",
    ),
    "container": (
        machine(modules=Modules(release=RELEASE, foreign=True)),
        Cause.MODULE_NOT_LOADED,
        "in a container",
    ),
    "loaded, not registered": (
        machine(modules=known(loaded=frozenset({"kvm_intel"}))),
        Cause.MODULE_NOT_LOADED,
        "kvm_intel is loaded, but did not register KVM",
    ),
    "built in, not registered": (
        machine(
            modules=known(builtin=frozenset({"kvm_intel"})),
            log=log("kvm: RT requires X86_FEATURE_CONSTANT_TSC"),
        ),
        Cause.MODULE_NOT_LOADED,
        "kvm_intel is built in, but did not register KVM; the kernel log says: kvm: RT requires",
    ),
    "built in by configuration": (
        machine(modules=Modules(release=RELEASE, options={"kvm_intel": "y"}, options_file="/proc/config.gz")),
        Cause.MODULE_NOT_LOADED,
        "built in",
    ),
    "another vendor's module complained": (
        machine(
            modules=known(builtin=frozenset({"kvm_intel"})), log=log("kvm_amd: SVM not supported by CPU 0")
        ),
        Cause.MODULE_NOT_LOADED,
        "did not register KVM",
    ),
    "unsigned": (
        machine(
            modules=known(
                unsigned=frozenset({"kvm"}), signed_only="the kernel command line has module.sig_enforce"
            )
        ),
        Cause.MODULE_NOT_LOADED,
        "the file of kvm, which kvm_intel needs, carries no signature",
    ),
    "a signature refused": (
        machine(log=log("Lockdown: modprobe: unsigned module loading is restricted; see man")),
        Cause.MODULE_NOT_LOADED,
        "unsigned module loading is restricted",
    ),
    "of another build": (
        machine(log=log("kvm: version magic '6.1.0 SMP' should be '6.12.0 SMP'")),
        Cause.MODULE_NOT_LOADED,
        "version magic",
    ),
    "of another build, the other vendor's": (
        machine(log=log("kvm_amd: version magic '6.1.0 SMP' should be '6.12.0 SMP'")),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "taken by another hypervisor": (
        machine(log=log("kvm: enabling virtualization on CPU0 failed")),
        Cause.HYPERVISOR_BUSY,
        "kvm_intel could not be loaded",
    ),
    "taken once, by an old kernel": (
        machine(
            log=log("kvm: enabling virtualization on CPU0 failed"), modules=known(release="6.1.0-9-amd64")
        ),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    # The module is not there.
    "neither built in nor on disk": (machine(modules=known(on_disk={})), Cause.MODULE_MISSING, "modules.dep"),
    "built without": (
        machine(modules=Modules(options={"kvm_intel": "n"}, options_file="/boot/config-6.12.0")),
        Cause.MODULE_MISSING,
        "/boot/config-6.12.0 does not set CONFIG_KVM_INTEL",
    ),
    "built without, brought from elsewhere": (
        machine(modules=known(options={"kvm_intel": "n"}, options_file="/boot/config-6.12.0")),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "no modules at all": (
        machine(modules=Modules(options={"kvm_intel": "m", "modules": "n"}, options_file="/proc/config.gz")),
        Cause.MODULE_MISSING,
        "CONFIG_MODULES",
    ),
    "file gone": (
        machine(modules=known(gone=frozenset({"kernel/arch/x86/kvm/kvm-intel.ko"}))),
        Cause.MODULE_MISSING,
        "kvm-intel.ko",
    ),
    "needed file gone": (
        machine(modules=known(gone=frozenset({"kernel/arch/x86/kvm/kvm.ko"}))),
        Cause.MODULE_MISSING,
        "kernel/arch/x86/kvm/kvm.ko for kvm_intel",
    ),
    "the other vendor's file gone": (
        machine(modules=known(gone=frozenset({"kernel/arch/x86/kvm/kvm-amd.ko"}))),
        Cause.MODULE_NOT_LOADED,
        "kvm_intel is on disk",
    ),
    "no modules for this kernel": (
        machine(modules=Modules(release=RELEASE, folder=FOLDER, absent=True)),
        Cause.MODULE_MISSING,
        "does not exist",
    ),
    # Somebody forbids it.
    "blacklist": (
        machine(rules=conf("blacklist kvm_intel")),
        Cause.MODULE_BLACKLISTED,
        "blacklist kvm_intel",
    ),
    "blacklist of what it needs": (
        machine(rules=conf("blacklist kvm\nblacklist irqbypass")),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "blacklist of the other vendor's": (
        machine(rules=conf("blacklist kvm_amd")),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "install": (machine(rules=conf("install kvm-intel /bin/false")), Cause.MODULE_BLACKLISTED, "/bin/false"),
    "install of what it needs": (
        machine(cpu=AMD, rules=conf("install kvm /bin/true")),
        Cause.MODULE_BLACKLISTED,
        "forbids kvm, which kvm_amd needs, to be loaded: install kvm /bin/true",
    ),
    "install of ccp": (machine(cpu=AMD, rules=conf("install ccp :")), Cause.MODULE_BLACKLISTED, "ccp"),
    "install of ccp on Intel": (machine(rules=conf("install ccp :")), Cause.MODULE_NOT_LOADED, "on disk"),
    "install of kvm, modules unknown": (
        machine(modules=Modules(), rules=conf("install kvm /bin/false")),
        Cause.MODULE_BLACKLISTED,
        "install kvm /bin/false",
    ),
    "module_blacklist": (
        machine(parameters=line("module_blacklist=floppy,kvm_intel")),
        Cause.MODULE_BLACKLISTED,
        "module_blacklist=floppy,kvm_intel",
    ),
    "module_blacklist of what it needs": (
        machine(parameters=line("module_blacklist=irqbypass")),
        Cause.MODULE_BLACKLISTED,
        "irqbypass, which kvm_intel needs,",
    ),
    "module_blacklist, spelled as no module is": (
        machine(parameters=line("module_blacklist=kvm-intel")),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "module_blacklist, taken back": (
        machine(parameters=line("module_blacklist=kvm_intel module_blacklist=floppy")),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "module_blacklist for init": (
        machine(parameters=line("quiet -- module_blacklist=kvm_intel")),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "module_blacklist, by the log": (
        machine(log=log("Module kvm_intel is blacklisted")),
        Cause.MODULE_BLACKLISTED,
        "Module kvm_intel is blacklisted",
    ),
    "module_blacklist of the other vendor's, by the log": (
        machine(log=log("Module kvm_amd is blacklisted")),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "modprobe.blacklist": (
        machine(parameters=line("modprobe.blacklist=kvm_intel modprobe.blacklist=floppy")),
        Cause.MODULE_BLACKLISTED,
        "modprobe.blacklist=kvm_intel",
    ),
    "modprobe.blacklist for init": (
        machine(parameters=line("quiet -- modprobe.blacklist=kvm_intel")),
        Cause.MODULE_BLACKLISTED,
        "modprobe.blacklist=kvm_intel",
    ),
    "modprobe.blacklist of kvm": (
        machine(parameters=line("modprobe.blacklist=kvm")),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "nomodule": (machine(parameters=line("nomodule")), Cause.MODULE_BLACKLISTED, "nomodule"),
    "nomodule=0": (machine(parameters=line("nomodule=0")), Cause.MODULE_NOT_LOADED, "on disk"),
    "nomodule, built in": (
        machine(parameters=line("nomodule"), modules=known(builtin=frozenset({"kvm_intel"}))),
        Cause.MODULE_NOT_LOADED,
        "built in",
    ),
    # The kernel was told to do without.
    "initcall_blacklist": (
        machine(parameters=line("initcall_blacklist=vmx_init")),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "vmx_init",
    ),
    "initcall_blacklist of newer kernels": (
        machine(parameters=line("initcall_blacklist=foo,vt_init")),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "vt_init",
    ),
    "initcall_blacklist of the other vendor's": (
        machine(parameters=line("initcall_blacklist=svm_init")),
        Cause.MODULE_NOT_LOADED,
        "on disk",
    ),
    "clearcpuid by name": (
        machine(cpu=PLAIN_AMD, parameters=line("clearcpuid=smap,svm")),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "clearcpuid=svm",
    ),
    "clearcpuid by number": (
        machine(cpu=PLAIN_INTEL, parameters=line("clearcpuid=133")),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "clearcpuid=133",
    ),
    "clearcpuid, Zhaoxin": (
        machine(cpu=cpuinfo.parse(x86(vendor="Shanghai")), parameters=line("clearcpuid=vmx")),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "clearcpuid=vmx",
    ),
    "clearcpuid by the log": (
        machine(cpu=PLAIN_AMD, log=log("Clearing CPUID bits: smap svm")),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "hides the flag svm",
    ),
    "clearcpuid, taken back": (
        machine(cpu=PLAIN_AMD, parameters=line("clearcpuid=svm clearcpuid=smap")),
        Cause.NO_VIRTUALIZATION,
        "cannot be told apart",
    ),
    "clearcpuid of the other vendor's flag": (
        machine(cpu=PLAIN_INTEL, parameters=line("clearcpuid=svm")),
        Cause.NO_VIRTUALIZATION,
        "cannot be told apart",
    ),
    "clearcpuid of what the CPU has not": (
        machine(cpu=PLAIN_AMD, parameters=line("clearcpuid=svm"), raw=SILENT, asked=True),
        Cause.NO_VIRTUALIZATION,
        "cannot be told apart",
    ),
    "clearcpuid of what the CPU has": (
        machine(cpu=PLAIN_AMD, parameters=line("clearcpuid=svm"), raw=RawCPU(frozenset({"svm"})), asked=True),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "clearcpuid=svm",
    ),
    # Firmware.
    "VMX off, by the log": (
        machine(cpu=PLAIN_INTEL, log=log("x86/cpu: VMX (outside TXT) disabled by BIOS")),
        Cause.DISABLED_BY_FIRMWARE,
        "outside TXT",
    ),
    "SVM off, by the log": (
        machine(cpu=PLAIN_AMD, log=log("SVM disabled (by BIOS) in MSR_VM_CR")),
        Cause.DISABLED_BY_FIRMWARE,
        "MSR_VM_CR",
    ),
    "SVM off, by an old kernel's log": (
        machine(cpu=AMD, log=log("kvm: disabled by bios")),
        Cause.DISABLED_BY_FIRMWARE,
        "disabled by bios",
    ),
    "SVM off, by the register, flag shown": (
        machine(cpu=AMD, firmware=Sign(REGISTERS, "VM_CR (0xc0010114) is 0x18: bit 4, SVMDIS, is set")),
        Cause.DISABLED_BY_FIRMWARE,
        "SVMDIS",
    ),
    "VMX off, by the register": (
        machine(
            cpu=PLAIN_INTEL, firmware=Sign(REGISTERS, "IA32_FEAT_CTL (0x3a) is 0x1: locked with VMX off")
        ),
        Cause.DISABLED_BY_FIRMWARE,
        "IA32_FEAT_CTL",
    ),
    "VMX off, by raw CPUID": (
        machine(cpu=PLAIN_INTEL, raw=RawCPU(frozenset({"vmx"})), asked=True),
        Cause.DISABLED_BY_FIRMWARE,
        "raw CPUID",
    ),
    "SVM off, by raw CPUID, no module": (
        machine(cpu=PLAIN_AMD, raw=RawCPU(frozenset({"svm"})), asked=True, modules=known(on_disk={})),
        Cause.DISABLED_BY_FIRMWARE,
        "raw CPUID",
    ),
    "VMX hidden by a kernel without KVM": (
        machine(cpu=PLAIN_INTEL, raw=RawCPU(frozenset({"vmx"})), asked=True, modules=known(on_disk={})),
        Cause.MODULE_MISSING,
        "what firmware allows cannot be told",
    ),
    "firmware of a VM": (
        machine(cpu=VM, hypervisor=hypervisor.VMWARE, log=log("kvm: disabled by bios")),
        Cause.DISABLED_BY_FIRMWARE,
        "disabled by bios",
    ),
    "firmware of a VM, by raw CPUID": (
        machine(cpu=VM, hypervisor=hypervisor.KVM, raw=RawCPU(frozenset({"vmx", "hypervisor"})), asked=True),
        Cause.DISABLED_BY_FIRMWARE,
        "raw CPUID",
    ),
    # A VM.
    "a VM": (machine(cpu=VM, hypervisor=hypervisor.KVM), Cause.NESTED_NOT_EXPOSED, "KVM/QEMU"),
    "a VM whose register is locked": (
        machine(
            cpu=VM, hypervisor=hypervisor.HYPER_V, firmware=Sign(REGISTERS, "IA32_FEAT_CTL (0x3a) is 0x1: …")
        ),
        Cause.NESTED_NOT_EXPOSED,
        "Hyper-V",
    ),
    "a VM without a name": (machine(cpu=VM), Cause.NESTED_NOT_EXPOSED, "does not tell its name"),
    "a VM that CPUID names": (
        machine(cpu=VM, raw=RawCPU(frozenset({"hypervisor"}), "bhyve bhyve"), asked=True),
        Cause.NESTED_NOT_EXPOSED,
        "bhyve",
    ),
    "a VM that hides": (
        machine(cpu=PLAIN_INTEL, hypervisor=hypervisor.VIRTUAL_BOX),
        Cause.NESTED_NOT_EXPOSED,
        "VirtualBox",
    ),
    "dom0": (machine(cpu=PLAIN_INTEL, hypervisor=hypervisor.XEN_DOM0), Cause.NESTED_NOT_EXPOSED, "dom0"),
    "a cloud's bare metal": (
        machine(cpu=PLAIN_INTEL, hypervisor=hypervisor.GOOGLE),
        Cause.NO_VIRTUALIZATION,
        "cannot be told apart",
    ),
    "a VM that can, module not loaded": (
        machine(cpu=cpuinfo.parse(x86("vmx", "hypervisor")), hypervisor=hypervisor.KVM),
        Cause.MODULE_NOT_LOADED,
        "on disk but not loaded",
    ),
    "a confidential VM": (
        machine(cpu=VM, confidential=Sign("/proc/misc", "sev-guest"), hypervisor=hypervisor.GOOGLE),
        Cause.CONFIDENTIAL_GUEST,
        "sev-guest",
    ),
    "a VM that needs no flag": (
        machine(cpu=VM, hypervisor=hypervisor.KVM, modules=known(on_disk={"kvm_pvm": ("kvm-pvm.ko",)})),
        Cause.MODULE_NOT_LOADED,
        "kvm_pvm is on disk",
    ),
    # Nothing tells.
    "nothing tells": (machine(cpu=PLAIN_INTEL), Cause.NO_VIRTUALIZATION, "cannot be told apart"),
    "nothing tells, CPU asked": (
        machine(cpu=PLAIN_INTEL, raw=SILENT, asked=True),
        Cause.NO_VIRTUALIZATION,
        "nor does the CPU itself report it",
    ),
    "nothing tells, CPU did not answer": (
        machine(cpu=PLAIN_INTEL, asked=True, log_error="Operation not permitted"),
        Cause.NO_VIRTUALIZATION,
        "the CPU itself could not be asked",
    ),
    "no CPU to see": (machine(cpu=cpuinfo.parse("")), Cause.UNSUPPORTED, "shows no CPU"),
    "no architecture": (Facts(), Cause.UNSUPPORTED, "does not tell"),
    "32-bit Arm": (other("armv7l", ""), Cause.UNSUPPORTED, "armv7l"),
    # Other architectures.
    "arm64 at EL1, cloud": (
        other("aarch64", ARM, log=EL1, hypervisor=hypervisor.AMAZON),
        Cause.NESTED_NOT_EXPOSED,
        "Amazon EC2",
    ),
    "arm64 at EL1, no name": (other("aarch64", ARM, log=EL1), Cause.NO_VIRTUALIZATION, "started at EL1"),
    "arm64 at EL1, none": (
        other("aarch64", ARM, log=EL1, parameters=line("kvm-arm.mode=none")),
        Cause.NO_VIRTUALIZATION,
        "started at EL1",
    ),
    "arm64, none": (
        other("aarch64", ARM, parameters=line("kvm_arm.mode=nvhe kvm-arm.mode=none")),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "kvm-arm.mode=none",
    ),
    "arm64, none taken back": (
        other("aarch64", ARM, parameters=line("kvm-arm.mode=none kvm-arm.mode=nvhe")),
        Cause.NO_VIRTUALIZATION,
        "did not start",
    ),
    "arm64, none, by the log": (
        other("aarch64", ARM, log=log("kvm [1]: KVM disabled from command line")),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "kvm-arm.mode=none",
    ),
    "arm64, initcall_blacklist": (
        other(
            "aarch64", ARM, parameters=line("initcall_blacklist=kvm_arm_init"), modules=Modules(listed=True)
        ),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "kvm_arm_init",
    ),
    "initcall_blacklist of what it needs": (
        machine(parameters=line("initcall_blacklist=kvm_x86_init")),
        Cause.DISABLED_BY_KERNEL_PARAMETER,
        "kvm, which kvm_intel needs,",
    ),
    "arm64 without KVM": (
        other("aarch64", ARM, modules=Modules(listed=True)),
        Cause.MODULE_MISSING,
        "built without KVM",
    ),
    "arm64 without KVM, by configuration": (
        other("aarch64", ARM, modules=Modules(options={"kvm": "n"}, options_file="/proc/config.gz")),
        Cause.MODULE_MISSING,
        "/proc/config.gz",
    ),
    "arm64, KVM failed": (
        other(
            "aarch64",
            ARM,
            modules=Modules(listed=True, loaded=frozenset({"kvm"})),
            log=log("kvm [1]: error initializing Hyp mode: -22"),
        ),
        Cause.MODULE_NOT_LOADED,
        "error initializing Hyp mode",
    ),
    "arm64, realm": (
        other("aarch64", ARM, confidential=Sign(LOG, "RME: Using RSI version 1.0")),
        Cause.CONFIDENTIAL_GUEST,
        "the kernel log says: RME",
    ),
    "s390x, LPAR without SIE": (other("s390x", NO_SIE), Cause.NO_VIRTUALIZATION, "sie"),
    "s390x, z/VM without SIE": (
        other("s390x", NO_SIE, hypervisor=hypervisor.Z_VM),
        Cause.NESTED_NOT_EXPOSED,
        "z/VM",
    ),
    "s390x with SIE": (
        other("s390x", SIE, hypervisor=hypervisor.Z_VM),
        Cause.MODULE_NOT_LOADED,
        "kvm is not loaded",
    ),
    "s390x, blacklist": (other("s390x", SIE, rules=conf("blacklist kvm")), Cause.MODULE_BLACKLISTED, "kvm"),
    "riscv64 without H": (other("riscv64", NO_H), Cause.NO_VIRTUALIZATION, "hypervisor extension"),
    "riscv64 without H, VM": (
        other("riscv64", NO_H, hypervisor=hypervisor.KVM),
        Cause.NESTED_NOT_EXPOSED,
        "KVM/QEMU",
    ),
    "riscv64 with H": (other("riscv64", H), Cause.MODULE_NOT_LOADED, "kvm is not loaded"),
    "POWER without nesting": (
        other(
            "ppc64le", machines.POWER, log=log("kvm-hv: Parent hypervisor does not support nesting (rc=-2)")
        ),
        Cause.NESTED_NOT_EXPOSED,
        "does not support nesting",
    ),
    "POWER with the hash MMU": (
        other("ppc64le", machines.POWER + "MMU\t\t: Hash\n"),
        Cause.NESTED_NOT_EXPOSED,
        "nesting needs the radix MMU",
    ),
    "POWER, not loaded": (
        other("ppc64le", machines.POWER),
        Cause.MODULE_NOT_LOADED,
        "kvm_hv is not loaded",
    ),
}


@pytest.mark.parametrize("situation", TABLE)
def test_tells_the_cause(situation: str) -> None:
    facts, cause, words = TABLE[situation]
    why = explain(facts)
    assert why.cause is cause, why
    assert words in why.because
    assert "\n" not in why.because
    assert why.evidence
    assert all(isinstance(value, str) and value for pair in why.evidence.items() for value in pair)


@pytest.mark.parametrize(
    "situation", [name for name, row in TABLE.items() if row[1] is Cause.NO_VIRTUALIZATION]
)
def test_says_what_to_look_at_where_the_log_was_not_read(situation: str) -> None:
    why = explain(TABLE[situation][0]._replace(log=(), log_error="Operation not permitted"))
    if why.cause is Cause.NO_VIRTUALIZATION:  # else the log had kept another cause from being named
        assert "could not be read" in why.because
        assert why.hint is not None
        assert "sudo dmesg" in why.hint
        assert why.evidence[LOG] == "Operation not permitted"


ABSENCE = {
    Cause.MODULE_NOT_LOADED,
    Cause.MODULE_BLACKLISTED,
    Cause.MODULE_MISSING,
    Cause.DISABLED_BY_KERNEL_PARAMETER,
    Cause.DISABLED_BY_FIRMWARE,
    Cause.NESTED_NOT_EXPOSED,
    Cause.CONFIDENTIAL_GUEST,
    Cause.NO_VIRTUALIZATION,
    Cause.HYPERVISOR_BUSY,
    Cause.UNSUPPORTED,
}


def test_every_cause_of_an_absence_is_reachable() -> None:
    assert {cause for _, cause, _ in TABLE.values()} == ABSENCE


def test_never_claims_that_the_cpu_can_where_it_shows_nothing() -> None:
    for facts, _, _ in TABLE.values():
        if not facts.cpu.cpus_with("vmx", "svm", "sie", "h"):
            assert "CPU can" not in explain(facts).because


IRRELEVANT: tuple[Callable[[Facts], Facts], ...] = (
    lambda facts: facts._replace(rules=(*facts.rules, *conf("blacklist floppy\ninstall nouveau /bin/false"))),
    lambda facts: facts._replace(
        rules=tuple(conf("options kvm_intel nested=1\nsoftdep kvm_amd pre: x")) + facts.rules
    ),
    lambda facts: facts._replace(
        parameters=_with(facts, "quiet mitigations=off intel_iommu=on kvm.nx_huge_pages=0")
    ),
    lambda facts: facts._replace(parameters=_with(facts, "-- init_argument module_blacklist=kvm_intel")),
    lambda facts: facts._replace(log=tuple(reversed(facts.log))),
    lambda facts: facts._replace(log=(*facts.log, *log("Hypervisor detected: KVM"))),
    lambda facts: facts._replace(modules=facts.modules._replace(loaded=facts.modules.loaded | {"floppy"})),
    lambda facts: facts._replace(cpu=facts.cpu._replace(name="Another name")),
)
"""What a machine may also show, and what must not change why it cannot."""


def _with(facts: Facts, text: str) -> cmdline.CommandLine:
    more = cmdline.parse(text)
    return cmdline.CommandLine(
        {**more.values, **facts.parameters.values}, {**more.beyond, **facts.parameters.beyond}
    )


@settings(deadline=None)
@given(st.sampled_from(sorted(TABLE)), st.permutations(IRRELEVANT), st.integers(0, len(IRRELEVANT)))
def test_what_is_irrelevant_changes_nothing(
    situation: str, changes: list[Callable[[Facts], Facts]], count: int
) -> None:
    facts, cause, _ = TABLE[situation]
    for change in changes[:count]:
        facts = change(facts)
    assert explain(facts).cause is cause


HYPERVISORS = [value for value in vars(hypervisor).values() if isinstance(value, Hypervisor)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("outer", HYPERVISORS, ids=lambda outer: outer.name)
def test_every_hypervisor_has_something_to_do(outer: Hypervisor, architecture: str) -> None:
    assert outer.hint_on(architecture)
    assert "\n" not in outer.hint_on(architecture)


LOGS = [
    (),
    *(
        (message,)
        for message in log(
            "x86/cpu: VMX (outside TXT) disabled by BIOS",
            "kvm_amd: SVM not supported by CPU 0",
            "kvm [1]: HYP mode not available",
            "kvm [1]: KVM disabled from command line",
            "kvm-hv: Parent hypervisor does not support nesting (rc=-2)",
            "Loading of unsigned module is rejected",
            "kvm: enabling virtualization on CPU0 failed",
            "Clearing CPUID bits: svm",
        )
    ),
]
CPUS = [INTEL, AMD, PLAIN_INTEL, VM, SOME, *(cpuinfo.parse(text) for text in (ARM, NO_SIE, SIE, NO_H, H, ""))]


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "armv7l", ""])
def test_every_combination_is_explained(architecture: str) -> None:
    """No combination fails, claims a firmware that nothing accuses, or asks the CPU twice."""
    seen = 0
    for cpu, messages, outer, raw, firmware in product(
        CPUS,
        LOGS,
        (None, hypervisor.KVM, hypervisor.GOOGLE),
        (None, SILENT, RawCPU(frozenset({"vmx"}))),
        (Sign("", ""), Sign(REGISTERS, "locked")),
    ):
        for known_modules in (Modules(), WITH_MODULES, Modules(builtin=frozenset({"kvm", "kvm_amd"}))):
            facts = Facts(
                architecture,
                cpu,
                log=messages,
                hypervisor=outer,
                raw=raw,
                firmware=firmware,
                modules=known_modules,
            )
            why = explain(facts._replace(asked=True))
            assert why.because
            assert not why.ask_cpu
            accused = any(message.topic is Topic.FIRMWARE for message in messages) or firmware.where or raw
            assert why.cause is not Cause.DISABLED_BY_FIRMWARE or accused
            seen += 1
    assert seen > 1000
