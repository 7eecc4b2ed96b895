"""x86-64: CPUs, firmware, hypervisors, modules and the kernel's command line.

QEMU emulates AMD's SVM whole, and no VMX.
"""

from lab.scenario import Scenario, Truth
from lab.x86 import (
    BOOKWORM,
    DEVICES,
    FLAG,
    IS_METAL,
    IS_VM,
    LOADABLE,
    LOADED,
    METAL,
    NO_FLAG,
    NO_SVM,
    NO_SVM_METAL,
    NOT_LOADABLE,
    ONE_FLAG,
    REGISTERED,
    SECOND_WITHOUT,
    SVM,
    SVM_OFF,
    SVME,
    UNREGISTERED,
    fails,
    runs,
    smbios,
    svm,
)

SERVER = smbios("Dell Inc.", "PowerEdge R7525")
ABSENT = "open ENOENT"


def _booted(
    name: str,
    truth: Truth,
    *setup: str,
    machine: tuple[str, ...] = SVM,
    cmdline: str = "",
    order: int = 2,
    tree: str = "",
) -> Scenario:
    return Scenario(f"x86/{name}", BOOKWORM, truth, machine, cmdline, setup, order=order, tree=tree)


def _cloud(name: str, hypervisor: str, look: tuple[str, ...], order: int = 2, tree: str = "") -> Scenario:
    """A VM under somebody's hypervisor, without SVM."""
    truth = fails("NestedNotExposed", ABSENT, NO_FLAG, IS_VM, mentions=(hypervisor,))
    return _booted(f"nested-{name}", truth, *DEVICES, machine=(*NO_SVM, *look), order=order, tree=tree)


_WORKS = (
    svm("works", runs(FLAG, REGISTERED, CPU="Pass FlagPresent"), *LOADED, order=0, tree="lab-works"),
    _booted("works-metal", runs(FLAG, IS_METAL), *LOADED, machine=(*METAL, *SERVER)),
    _booted("works-epyc", runs(FLAG), *LOADED, machine=("-cpu", "EPYC")),
    _booted("works-hygon", runs(FLAG), *LOADED, machine=("-cpu", "max,vendor=HygonGenuine")),
    _booted(
        "works-two-cpus", runs("test $(grep -cw svm /proc/cpuinfo) = 2"), *LOADED, machine=(*SVM, "-smp", "2")
    ),
    _booted(
        "works-one-cpu-offline",
        runs("test $(cat /sys/devices/system/cpu/offline) = 1"),
        *LOADED,
        "echo 0 > /sys/devices/system/cpu/cpu1/online",
        machine=(*SVM, "-smp", "2"),
    ),
    _booted(
        "works-without-npt",
        runs("test $(cat /sys/module/kvm_amd/parameters/npt) != Y"),
        *LOADED,
        machine=("-cpu", "max,-npt"),
    ),
    svm(
        "works-npt-0-nested-0",
        runs(
            "grep -q [N0] /sys/module/kvm_amd/parameters/npt",
            "grep -q [N0] /sys/module/kvm_amd/parameters/nested",
        ),
        *DEVICES,
        "modprobe kvm_amd npt=0 nested=0",
    ),
    _booted(
        "works-confidentiality-lockdown",
        runs(r"grep -q '\[confidentiality\]' /sys/kernel/security/lockdown"),
        *LOADED,
        "mount -t securityfs none /sys/kernel/security",
        cmdline="lockdown=confidentiality",
    ),
    _booted("works-clearcpuid-other", runs(FLAG), *LOADED, cmdline="clearcpuid=avx2"),
    _booted(
        "works-blacklisted-but-loaded",
        runs("grep -q blacklist /etc/modprobe.d/kvm.conf", REGISTERED),
        "echo blacklist kvm_amd > /etc/modprobe.d/kvm.conf",
        *LOADED,
    ),
    _booted(
        "no-tun",
        Truth(
            *("Pass", "GuestRan", "guest ran"),
            passed=False,
            others={"Tun": "Fail DeviceMissing", "VhostNet": "Warn DeviceMissing"},
        ),
        "modprobe kvm_amd",
        order=1,
    ),
    _booted(
        "little-memory",
        Truth(*("Pass", "GuestRan", "guest ran"), passed=False, others={"Memory": "Fail TooLittle"}),
        *LOADED,
        machine=(*SVM, "-m", "900M"),
    ),
)

_CPU = (
    _booted(
        "nested-qemu",
        fails("NestedNotExposed", ABSENT, NO_FLAG, IS_VM, mentions=("KVM/QEMU",)),
        *DEVICES,
        machine=NO_SVM,
        order=0,
    ),
    _cloud("amazon", "Amazon EC2", smbios("Amazon EC2", "m5.large"), order=1),
    _cloud(
        "google",
        "Google Compute Engine",
        smbios("Google", "Google Compute Engine"),
        order=1,
        tree="lab-nested-google",
    ),
    _cloud(
        "azure",
        "Azure",
        smbios(
            *("Microsoft Corporation", "Virtual Machine"),
            *("-smbios", "type=3,asset=7783-7084-3265-9085-8269-3286-77"),
        ),
        order=1,
    ),
    _cloud("hyper-v", "Hyper-V", smbios("Microsoft Corporation", "Virtual Machine")),
    _cloud("vmware", "VMware", smbios("VMware,, Inc.", "VMware Virtual Platform"), order=1),
    _cloud("virtualbox", "VirtualBox", smbios("innotek GmbH", "VirtualBox")),
    _cloud(
        "parallels",
        "Parallels",
        smbios("Parallels Software International Inc.", "Parallels Virtual Platform"),
    ),
    _cloud("xen", "Xen", smbios("Xen", "HVM domU")),
    _cloud("openstack", "OpenStack", smbios("OpenStack Foundation", "OpenStack Nova")),
    _cloud("unnamed", "does not pass virtualization through", smbios("Acme", "Rack 1")),
    _booted(
        "nested-intel",
        fails("NestedNotExposed", ABSENT, "! grep -qwE 'vmx|svm' /proc/cpuinfo", IS_VM),
        *DEVICES,
        machine=("-cpu", "Skylake-Client"),
    ),
    _booted(
        "nested-and-no-modules",
        fails("NestedNotExposed", ABSENT, NO_FLAG, IS_VM),
        *DEVICES,
        "rm -r /lib/modules",
        machine=NO_SVM,
    ),
    _booted(
        "none-metal",
        fails("NoVirtualization", ABSENT, NO_FLAG, IS_METAL),
        *DEVICES,
        machine=(*NO_SVM_METAL, *SERVER),
        order=0,
        tree="lab-none",
    ),
    _booted(
        "none-metal-amazon",
        fails("NoVirtualization", ABSENT, NO_FLAG, IS_METAL),
        *DEVICES,
        machine=(*NO_SVM_METAL, *smbios("Amazon EC2", "m5.metal")),
    ),
    _booted(
        "none-metal-log-cleared",
        fails("NoVirtualization", ABSENT, NO_FLAG, IS_METAL),
        *DEVICES,
        "dmesg -c > /dev/null",
        machine=(*NO_SVM_METAL, *SERVER),
    ),
    _booted(
        "clearcpuid-name",
        fails("DisabledByKernelParameter", ABSENT, NO_FLAG, mentions=("clearcpuid=svm",)),
        *DEVICES,
        cmdline="clearcpuid=svm",
        order=0,
        tree="lab-clearcpuid",
    ),
    _booted(
        "clearcpuid-number",
        fails("DisabledByKernelParameter", ABSENT, NO_FLAG, mentions=("clearcpuid",)),
        *DEVICES,
        cmdline="clearcpuid=514,194",
        order=1,
    ),
    _booted(
        "clearcpuid-metal",
        fails("DisabledByKernelParameter", ABSENT, NO_FLAG, IS_METAL),
        *DEVICES,
        machine=(*METAL, *SERVER),
        cmdline="clearcpuid=svm",
    ),
    _booted(
        "clearcpuid-where-there-is-none",
        fails("NestedNotExposed", ABSENT, NO_FLAG, IS_VM),
        *DEVICES,
        machine=NO_SVM,
        cmdline="clearcpuid=avx2",
    ),
)

_BUSY = (
    _booted(
        "busy",
        fails("HypervisorBusy", "KVM_CREATE_VM EBUSY", FLAG, REGISTERED),
        *LOADED,
        *SVME,
        order=0,
    ),
    _booted(
        "busy-second-cpu",
        fails("HypervisorBusy", "KVM_CREATE_VM EBUSY", "test $(grep -cw svm /proc/cpuinfo) = 2"),
        *LOADED,
        "modprobe msr",
        "/lab/msr 1 0xC0000080 12",
        machine=(*SVM, "-smp", "2"),
    ),
    # What one CPU lacks, the kernel takes from what it knows of all.
    _booted(
        "cpus-differ",
        fails("ModuleNotLoaded", ABSENT, ONE_FLAG, UNREGISTERED, NOT_LOADABLE, mentions=("1 of 2 CPUs",)),
        *DEVICES,
        NOT_LOADABLE,
        machine=(*SVM, *SECOND_WITHOUT),
        order=1,
        tree="lab-cpus-differ",
    ),
    # It is refused, and stays offline; the kernel has taken the flag from what it knows of CPU 0 meanwhile.
    _booted(
        "busy-cpu-without-refused",
        fails(
            *("HypervisorBusy", "KVM_CREATE_VM EBUSY", FLAG, REGISTERED),
            "test $(cat /sys/devices/system/cpu/online) = 0",
            mentions=("a CPU that came online was refused it", "enabling virtualization on CPU0 failed"),
        ),
        *LOADED,
        "! echo 1 > /sys/devices/system/cpu/cpu1/online",
        machine=(*SVM, *SECOND_WITHOUT),
        cmdline="maxcpus=1",
    ),
)

_MODULES = (
    svm(
        "not-loaded",
        fails("ModuleNotLoaded", ABSENT, FLAG, UNREGISTERED, LOADABLE, mentions=("modprobe kvm_amd",)),
        *DEVICES,
        order=0,
        tree="lab-not-loaded",
    ),
    svm(
        "not-loaded-kvm-alone",
        fails("ModuleNotLoaded", ABSENT, FLAG, UNREGISTERED, mentions=("modprobe kvm_amd",)),
        *DEVICES,
        "modprobe kvm",
    ),
    svm(
        "blacklisted",
        fails(
            *(
                "ModuleBlacklisted",
                ABSENT,
                FLAG,
                UNREGISTERED,
                "! modprobe -b kvm_amd || ! lsmod | grep -q ^kvm_amd",
            ),
            mentions=("/etc/modprobe.d/kvm.conf", "blacklist kvm_amd"),
        ),
        *DEVICES,
        "echo blacklist kvm_amd > /etc/modprobe.d/kvm.conf",
        order=0,
        tree="lab-blacklisted",
    ),
    svm(
        "install-false",
        fails("ModuleBlacklisted", ABSENT, FLAG, NOT_LOADABLE, mentions=("install kvm_amd /bin/false",)),
        *DEVICES,
        "echo install kvm_amd /bin/false > /etc/modprobe.d/hardening.conf",
        order=1,
    ),
    svm(
        "install-true",
        fails("ModuleBlacklisted", ABSENT, FLAG, "modprobe kvm_amd; ! lsmod | grep -q ^kvm_amd"),
        *DEVICES,
        "ln -s busybox /bin/true",
        "echo install kvm-amd /bin/true > /etc/modprobe.d/hardening.conf",
    ),
    svm(
        "install-false-kvm",
        fails("ModuleBlacklisted", ABSENT, FLAG, NOT_LOADABLE, mentions=("install kvm /bin/false",)),
        *DEVICES,
        "echo install kvm /bin/false > /etc/modprobe.d/hardening.conf",
    ),
    svm(
        "blacklisted-in-run",
        fails("ModuleBlacklisted", ABSENT, FLAG, UNREGISTERED, mentions=("/run/modprobe.d/kvm.conf",)),
        *DEVICES,
        "mkdir -p /run/modprobe.d && echo blacklist kvm-amd > /run/modprobe.d/kvm.conf",
    ),
    svm(
        "blacklisted-in-lib",
        fails("ModuleBlacklisted", ABSENT, FLAG, UNREGISTERED, mentions=("modprobe.d/kvm.conf",)),
        *DEVICES,
        "mkdir -p /lib/modprobe.d && echo blacklist kvm_amd > /lib/modprobe.d/kvm.conf",
    ),
    svm(
        "blacklist-overridden",
        fails("ModuleNotLoaded", ABSENT, FLAG, "modprobe -b kvm_amd && rmmod kvm_amd kvm"),
        *DEVICES,
        "mkdir -p /lib/modprobe.d && echo blacklist kvm_amd > /lib/modprobe.d/kvm.conf",
        "touch /etc/modprobe.d/kvm.conf",
    ),
    svm(
        "blacklist-without-conf",
        fails("ModuleNotLoaded", ABSENT, FLAG, "modprobe -b kvm_amd && rmmod kvm_amd kvm"),
        *DEVICES,
        "echo blacklist kvm_amd > /etc/modprobe.d/kvm.conf.bak",
        "printf '# blacklist kvm_amd\\n' > /etc/modprobe.d/comment.conf",
    ),
    svm(
        "blacklist-of-intel",
        fails("ModuleNotLoaded", ABSENT, FLAG, "modprobe -b kvm_amd && rmmod kvm_amd kvm"),
        *DEVICES,
        "echo blacklist kvm_intel > /etc/modprobe.d/kvm.conf",
    ),
    _booted(
        "cmdline-modprobe-blacklist",
        fails("ModuleBlacklisted", ABSENT, FLAG, mentions=("modprobe.blacklist=kvm_amd",)),
        *DEVICES,
        cmdline="modprobe.blacklist=kvm_amd",
        order=1,
    ),
    _booted(
        "cmdline-module-blacklist",
        fails("ModuleBlacklisted", ABSENT, FLAG, NOT_LOADABLE, mentions=("module_blacklist=",)),
        *DEVICES,
        cmdline="module_blacklist=floppy,kvm_amd",
        order=1,
        tree="lab-module-blacklist",
    ),
    _booted(
        "cmdline-module-blacklist-kvm",
        fails("ModuleBlacklisted", ABSENT, FLAG, NOT_LOADABLE, mentions=("module_blacklist=kvm",)),
        *DEVICES,
        cmdline="module_blacklist=kvm",
    ),
    _booted(
        "cmdline-module-blacklist-dash",
        fails("ModuleNotLoaded", ABSENT, FLAG, LOADABLE),
        *DEVICES,
        cmdline="module_blacklist=kvm-amd",
    ),
    _booted(
        "cmdline-initcall-blacklist",
        fails(
            "DisabledByKernelParameter", ABSENT, FLAG, NOT_LOADABLE, mentions=("initcall_blacklist=svm_init",)
        ),
        *DEVICES,
        cmdline="initcall_blacklist=svm_init",
    ),
    svm(
        "missing",
        fails("ModuleMissing", ABSENT, FLAG, NOT_LOADABLE, mentions=("kvm_amd",)),
        *DEVICES,
        "rm /lib/modules/*/kernel/arch/x86/kvm/kvm-amd.ko*",
        "depmod",
        order=0,
        tree="lab-missing",
    ),
    svm(
        "missing-file-alone",
        fails("ModuleMissing", ABSENT, FLAG, NOT_LOADABLE, mentions=("kvm_amd",)),
        *DEVICES,
        "rm /lib/modules/*/kernel/arch/x86/kvm/kvm-amd.ko*",
    ),
    svm(
        "missing-kvm",
        fails("ModuleMissing", ABSENT, FLAG, NOT_LOADABLE),
        *DEVICES,
        "rm /lib/modules/*/kernel/arch/x86/kvm/kvm*.ko*",
        "depmod",
    ),
    svm(
        "missing-all",
        fails("ModuleMissing", ABSENT, FLAG, NOT_LOADABLE, mentions=("/lib/modules",)),
        *DEVICES,
        "rm -r /lib/modules",
        order=1,
        tree="lab-no-modules",
    ),
    svm(
        "missing-after-upgrade",
        fails("ModuleMissing", ABSENT, FLAG, NOT_LOADABLE, mentions=("reboot",)),
        *DEVICES,
        "mv /lib/modules/* /lib/modules/6.1.0-999-cloud-amd64",
    ),
    svm(
        "modules-disabled",
        fails("ModuleNotLoaded", ABSENT, FLAG, NOT_LOADABLE, mentions=("modules_disabled",)),
        *DEVICES,
        "echo 1 > /proc/sys/kernel/modules_disabled",
        order=1,
        tree="lab-modules-disabled",
    ),
    _booted(
        "unsigned",
        fails("ModuleNotLoaded", ABSENT, FLAG, NOT_LOADABLE, mentions=("signed",)),
        *DEVICES,
        "/lab/modfile kvm_amd unsign",
        "! modprobe kvm_amd",
        cmdline="module.sig_enforce=1",
        order=1,
        tree="lab-unsigned",
    ),
    _booted(
        "unsigned-lockdown",
        fails("ModuleNotLoaded", ABSENT, FLAG, NOT_LOADABLE, mentions=("signed",)),
        *DEVICES,
        "/lab/modfile kvm_amd unsign",
        "! modprobe kvm_amd",
        cmdline="lockdown=integrity",
    ),
    svm("works-unsigned", runs(FLAG), *DEVICES, "/lab/modfile kvm_amd unsign", "modprobe kvm_amd"),
    svm("works-autoloaded", runs(FLAG), *DEVICES, "modprobe $(cat /sys/devices/system/cpu/modalias)"),
)

_FIRMWARE = (
    svm(
        "firmware-off",
        fails("DisabledByFirmware", ABSENT, FLAG, NOT_LOADABLE, UNREGISTERED),
        *DEVICES,
        *SVM_OFF,
        "! modprobe kvm_amd",
        order=1,
        tree="lab-firmware-off",
    ),
    svm(
        "firmware-off-not-tried",
        fails("ModuleNotLoaded", ABSENT, FLAG, UNREGISTERED),
        *DEVICES,
        *SVM_OFF,
    ),
)

SCENARIOS = (*_WORKS, *_CPU, *_BUSY, *_MODULES, *_FIRMWARE)
