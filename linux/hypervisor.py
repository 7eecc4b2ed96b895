"""Names the hypervisor that a machine runs under, and says how that one passes virtualisation through.

DMI strings: ``/sys/class/dmi/id`` (kernel: drivers/firmware/dmi-id.c; dmidecode(8); those of clouds as
systemd-detect-virt(1) and cloud-init's ds-identify know them); ``/sys/hypervisor/type`` (kernel:
Documentation/ABI/stable/sysfs-hypervisor-xen); ``/proc/sysinfo`` on s390x (kernel: sysinfo.c); the device
tree's ``compatible`` of the machine and of its node ``hypervisor``; CPUID leaf 0x40000000 (kernel:
arch/x86/include/asm/cpuid).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

DMI_FIELDS = ("sys_vendor", "product_name", "chassis_asset_tag", "bios_vendor", "bios_version")


class Hypervisor(NamedTuple):
    """What a machine runs under.

    Attributes:
        name: Its name, for a person.
        hint: How it is told to let its guests have virtual machines of their own.
        certain: Its name alone proves that this is a VM; else other evidence must: clouds sell bare metal
            whose DMI strings name the cloud.
        hints: The same on other architectures than x86, by ``uname -m``.
    """

    name: str
    hint: str
    certain: bool = True
    hints: Mapping[str, str] = MappingProxyType({})

    def hint_on(self, architecture: str) -> str:
        """Returns how it is told on an architecture."""
        return self.hints.get(architecture, self.hint)


_KVM_HINTS = {
    "aarch64": "the outer host needs a CPU with FEAT_NV2, Linux 6.16 or newer and kvm-arm.mode=nested on its "
    "kernel command line, and this VM EL2 (QEMU: -machine virt,virtualization=on); else use bare metal",
    "s390x": "on the outer host: echo options kvm nested=1 > /etc/modprobe.d/kvm.conf, with no VM running: "
    "modprobe -r kvm && modprobe kvm; and this VM needs <cpu mode='host-passthrough'/>",
    "ppc64le": "the outer hypervisor must offer nesting to this partition (QEMU: -machine "
    "pseries,cap-nested-hv=on)",
    "riscv64": "the outer hypervisor must give this VM the extension h (QEMU emulates it: -cpu rv64,h=true)",
}

KVM = Hypervisor(
    "KVM/QEMU",
    "on the outer host, cat /sys/module/kvm_{intel,amd}/parameters/nested must say Y or 1 (else: echo "
    "options kvm_intel nested=1 > /etc/modprobe.d/kvm.conf), and this VM needs "
    "<cpu mode='host-passthrough'/> (QEMU: -cpu host); then power the VM off and on",
    hints=_KVM_HINTS,
)
QEMU_TCG = Hypervisor(
    "QEMU's software emulation",
    "on the outer host, give this VM a CPU with the flag: qemu-system-x86_64 -accel tcg -cpu max",
    hints=_KVM_HINTS,
)
VMWARE = Hypervisor(
    "VMware",
    "power the VM off and tick CPU: Expose hardware assisted virtualization to the guest OS "
    '(in the .vmx file: vhv.enable = "TRUE")',
)
HYPER_V = Hypervisor(
    "Hyper-V",
    "on the host, with the VM off: Set-VMProcessor -VMName NAME -ExposeVirtualizationExtensions $true; under "
    "WSL 2, in %UserProfile%\\.wslconfig below [wsl2]: nestedVirtualization=true, then: wsl --shutdown",
    hints={"aarch64": "Hyper-V does not nest on Arm: use an x86 VM, or bare metal"},
)
AZURE = Hypervisor(
    "Azure (Hyper-V)",
    "choose a VM size that supports nested virtualization and a security type that allows it: az vm resize "
    "--size …",
    hints={"aarch64": "no Arm size of Azure nests: choose an x86 size that does, az vm resize --size …"},
)
GOOGLE = Hypervisor(
    "Google Compute Engine",
    "create the VM anew with: gcloud compute instances create … --enable-nested-virtualization (of an Intel "
    "machine type, not E2)",
    certain=False,
    hints={"aarch64": "Arm machine types do not nest: choose an Intel one, or bare metal"},
)
AMAZON = Hypervisor(
    "Amazon EC2",
    "choose a bare-metal instance type (*.metal), or one whose CPU options offer nested virtualization",
    certain=False,
    hints={"aarch64": "choose a bare-metal instance type (such as m7g.metal)"},
)
OPENSTACK = Hypervisor(
    "OpenStack (KVM/QEMU)",
    "on the compute host: cpu_mode = host-passthrough below [libvirt] in nova.conf and nested=1 for "
    "kvm_intel or kvm_amd; or use a flavor that offers nested virtualization or bare metal",
    hints=_KVM_HINTS,
)
DIGITAL_OCEAN = Hypervisor("DigitalOcean", "ask DigitalOcean which droplets nest")
ALIBABA = Hypervisor(
    "Alibaba Cloud",
    "choose a bare-metal instance family (ecs.ebm*): other families do not nest",
    certain=False,
)
TENCENT = Hypervisor("Tencent Cloud", "choose Cloud Bare Metal", certain=False)
HUAWEI = Hypervisor("Huawei Cloud", "choose a bare-metal flavor (physical.*)", certain=False)
ORACLE = Hypervisor("Oracle Cloud", "choose a bare-metal shape (BM.*)", certain=False)
IBM_CLOUD = Hypervisor("IBM Cloud", "choose a bare-metal profile (*-metal-*)", certain=False)
HETZNER = Hypervisor(
    "Hetzner Cloud", "its servers do not nest: use a dedicated one of Hetzner's", certain=False
)
SCALEWAY = Hypervisor("Scaleway", "choose Elastic Metal", certain=False)
PROVIDER = Hypervisor(
    "a cloud's KVM/QEMU", "ask the provider for nested virtualization or bare metal", hints=_KVM_HINTS
)
NUTANIX = Hypervisor("Nutanix AHV", "on a CVM, with the VM off: acli vm.update NAME cpu_passthrough=true")
VIRTUAL_BOX = Hypervisor("VirtualBox", "with the VM off: VBoxManage modifyvm NAME --nested-hw-virt on")
XEN = Hypervisor(
    "Xen", "in the domain's configuration: nestedhvm = 1 (HVM guests only; a dom0 or PV guest cannot run KVM)"
)
XEN_DOM0 = Hypervisor(
    "Xen (as its dom0)",
    "run VMs with Xen, or boot Linux without it: choose the entry without Xen in the boot menu "
    "(grub-set-default)",
)
PARALLELS = Hypervisor("Parallels", "with the VM off: prlctl set NAME --nested-virt on")
BHYVE = Hypervisor("bhyve", "bhyve does not nest: use another hypervisor, or bare metal")
APPLE = Hypervisor(
    "Apple's Virtualization framework",
    "needs an M3 or newer and macOS 15 or newer, and the VM's own setting (Lima: nestedVirtualization: true)",
)
CLOUD_HYPERVISOR = Hypervisor(
    "Cloud Hypervisor", "start it with --cpus nested=on, on a host whose kvm_intel or kvm_amd has nested=1"
)
ACRN = Hypervisor("ACRN", "in the VM's scenario file: <guest_flag>GUEST_FLAG_NVMX_ENABLED</guest_flag>")
JAILHOUSE = Hypervisor("Jailhouse", "jailhouse disable; Jailhouse does not nest")
Z_VM = Hypervisor(
    "z/VM", "have z/VM let this guest use SIE, or better use an LPAR: KVM below z/VM is for tests only"
)
POWER = Hypervisor("PowerVM or KVM (pSeries)", _KVM_HINTS["ppc64le"])
OTHER = Hypervisor(
    "a hypervisor that does not tell its name",
    "ask for nested virtualization where this machine comes from; on KVM: <cpu mode='host-passthrough'/>, "
    "elsewhere the setting has another name",
    certain=False,
)

_AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"
"""Every Azure VM has this chassis asset tag."""

_BY_TAG = (("oraclecloud", ORACLE), ("ibmcloud", IBM_CLOUD), ("huaweicloud", HUAWEI))

_BY_VENDOR_AND_PRODUCT = (
    ("google compute engine", GOOGLE),
    ("digitalocean", DIGITAL_OCEAN),
    ("alibaba cloud", ALIBABA),
    ("tencent cloud", TENCENT),
    ("huawei cloud", HUAWEI),
    ("hetzner", HETZNER),
    ("scaleway", SCALEWAY),
    ("nutanix ahv", NUTANIX),
    ("vmware", VMWARE),
    ("virtualbox", VIRTUAL_BOX),
    ("innotek", VIRTUAL_BOX),
    ("parallels", PARALLELS),
    ("apple virtualization", APPLE),
    ("xen hvm domu", XEN),
    ("bhyve", BHYVE),
    ("cloud hypervisor", CLOUD_HYPERVISOR),
    ("openstack", OPENSTACK),
    *((name, PROVIDER) for name in ("vultr", "linode", "akamai", "upcloud", "exoscale", "ionos")),
    *(
        (name, KVM)
        for name in ("qemu", "kvm", "kubevirt", "rhev", "ovirt", "red hat rhel", "bochs", "crosvm")
    ),
)

_BY_LOG = (
    ("kvm", KVM),
    ("vmware", VMWARE),
    ("hyper-v", HYPER_V),
    ("xen", XEN),
    ("acrn", ACRN),
    ("jailhouse", JAILHOUSE),
    ("bhyve", BHYVE),
)

_BY_CLOCK = (
    ("kvm-clock", KVM),
    ("hyperv_clocksource_tsc_page", HYPER_V),
    ("hyperv_clocksource_msr", HYPER_V),
    ("xen", XEN),
)
"""Clocks that the kernel has only where it found their hypervisor (arch/x86/kernel/kvmclock.c,
drivers/clocksource/hyperv_timer.c, arch/x86/xen/time.c)."""

_BY_SIGNATURE = (
    ("KVMKVMKVM", KVM),
    ("TCGTCGTCGTCG", QEMU_TCG),
    ("VMwareVMware", VMWARE),
    ("Microsoft Hv", HYPER_V),
    ("XenVMMXenVMM", XEN),
    ("VBoxVBoxVBox", VIRTUAL_BOX),
    ("prl hyperv", PARALLELS),
    ("lrpepyh vr", PARALLELS),
    ("bhyve bhyve", BHYVE),
    ("ACRNACRNACRN", ACRN),
    ("Jailhouse", JAILHOUSE),
)
"""What CPUID leaf 0x40000000 gives in EBX, ECX and EDX."""


def by_signature(signature: str) -> Hypervisor | None:
    """Names the hypervisor that CPUID reports, None where it is none that we know."""
    plain = " ".join(signature.split())
    return next((named for known, named in _BY_SIGNATURE if plain.startswith(known)), None)


def _by_dmi(dmi: Mapping[str, str]) -> Hypervisor | None:
    vendor, product = dmi.get("sys_vendor", ""), dmi.get("product_name", "")
    tag = dmi.get("chassis_asset_tag", "")
    both = f"{vendor} {product}".lower()
    if vendor.startswith("Microsoft") and product == "Virtual Machine":
        return AZURE if tag == _AZURE_TAG else HYPER_V
    firmware = f"{dmi.get('bios_vendor', '')} {dmi.get('bios_version', '')}".lower()
    if vendor.startswith("Amazon") or (vendor == "Xen" and "amazon" in firmware):
        return None if ".metal" in product else AMAZON
    by_tag = next((named for words, named in _BY_TAG if words in tag.lower()), None)
    return by_tag or next((named for words, named in _BY_VENDOR_AND_PRODUCT if words in both), None)


def identify(
    dmi: Mapping[str, str],
    *,
    hypervisor_type: str = "",
    xen_capabilities: str = "",
    log: str = "",
    sysinfo: str = "",
    compatible: str = "",
    hypervisor_node: str = "",
    clocks: str = "",
) -> Hypervisor | None:
    """Names the hypervisor.

    Args:
        dmi: DMI strings by the names of `DMI_FIELDS`.
        hypervisor_type: Contents of ``/sys/hypervisor/type``.
        xen_capabilities: Contents of ``/proc/xen/capabilities``: ``control_d`` in a dom0.
        log: The kernel's message ``Hypervisor detected: …``.
        sysinfo: Contents of ``/proc/sysinfo`` (s390x).
        compatible: Contents of ``/proc/device-tree/compatible``.
        hypervisor_node: Contents of ``/proc/device-tree/hypervisor/compatible``.
        clocks: Contents of ``available_clocksource``.

    Returns:
        None where nothing names one.
    """
    if "control_d" in xen_capabilities:
        return XEN_DOM0
    named = _by_dmi(dmi)
    if named is not None:
        return named
    program = next((line for line in sysinfo.split("\n") if "Control Program" in line), "")
    if program:
        return Z_VM if "z/VM" in program else KVM
    if hypervisor_type.strip() == "xen" or "xen," in hypervisor_node:
        return XEN
    if "vmware" in hypervisor_node:
        return VMWARE
    if "linux,kvm" in hypervisor_node or "hypervisor services detected" in log:
        return KVM
    if "dummy-virt" in compatible or "riscv-virtio" in compatible or "qemu" in compatible:
        return KVM
    detected = log.lower().partition("hypervisor detected:")[2]
    by_log = next((named for words, named in _BY_LOG if words in detected), None)
    return by_log or next((named for words, named in _BY_CLOCK if words in clocks.split()), None)
