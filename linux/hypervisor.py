"""Names the hypervisor that a machine runs under, and says how that one passes virtualisation through.

DMI strings: ``/sys/class/dmi/id`` (kernel: drivers/firmware/dmi-id.c; dmidecode(8)); ``/sys/hypervisor/type``
(kernel: Documentation/ABI/stable/sysfs-hypervisor-xen); ``/proc/sysinfo`` on s390x (kernel: sysinfo.c);
the device tree's ``compatible`` on aarch64 and riscv64.
"""

from collections.abc import Mapping
from typing import NamedTuple

DMI_FIELDS = ("sys_vendor", "product_name", "chassis_asset_tag", "bios_vendor")


class Hypervisor(NamedTuple):
    """What a machine runs under.

    Attributes:
        name: Its name, for a person.
        hint: How it is told to let its guests have virtual machines of their own.
        certain: Its name alone proves that this is a VM; else other evidence must.
    """

    name: str
    hint: str
    certain: bool = True


KVM = Hypervisor(
    "KVM/QEMU",
    "on the outer host, cat /sys/module/kvm_{intel,amd}/parameters/nested must say Y or 1 (else: echo "
    "options kvm_intel nested=1 > /etc/modprobe.d/kvm.conf), and this VM needs "
    "<cpu mode='host-passthrough'/> (QEMU: -cpu host); then power the VM off and on",
)
VMWARE = Hypervisor(
    "VMware",
    "power the VM off and tick CPU: Expose hardware assisted virtualization to the guest OS "
    '(in the .vmx file: vhv.enable = "TRUE")',
)
HYPER_V = Hypervisor(
    "Hyper-V",
    "on the host, with the VM off: Set-VMProcessor -VMName NAME -ExposeVirtualizationExtensions $true",
)
AZURE = Hypervisor(
    "Azure (Hyper-V)",
    "choose a VM size that supports nested virtualization and a security type that allows it: az vm resize "
    "--size …",
)
GOOGLE = Hypervisor(
    "Google Compute Engine",
    "create the VM anew with: gcloud compute instances create … --enable-nested-virtualization",
)
AMAZON = Hypervisor(
    "Amazon EC2",
    "choose a bare-metal instance type (*.metal), or one whose CPU options offer nested virtualization",
)
VIRTUAL_BOX = Hypervisor("VirtualBox", "with the VM off: VBoxManage modifyvm NAME --nested-hw-virt on")
XEN = Hypervisor(
    "Xen", "in the domain's configuration: nestedhvm = 1 (HVM guests only; a dom0 or PV guest cannot run KVM)"
)
PARALLELS = Hypervisor("Parallels", "with the VM off: prlctl set NAME --nested-virt on")
Z_VM = Hypervisor("z/VM", "z/VM does not pass SIE through to Linux guests for KVM: use an LPAR")
POWER = Hypervisor(
    "PowerVM or KVM (pSeries)",
    "the outer hypervisor must offer nesting to this partition (QEMU: -machine pseries,cap-nested-hv=on)",
)
OTHER = Hypervisor(
    "a hypervisor that does not tell its name",
    "ask for nested virtualization where this machine comes from; on KVM: <cpu mode='host-passthrough'/>, "
    "elsewhere the setting has another name",
    certain=False,
)

_AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"
"""Every Azure VM has this chassis asset tag."""


def _by_dmi(dmi: Mapping[str, str]) -> Hypervisor | None:
    vendor, product = dmi.get("sys_vendor", ""), dmi.get("product_name", "")
    both = f"{vendor} {product}".lower()
    if vendor.startswith("Microsoft") and product == "Virtual Machine":
        return AZURE if dmi.get("chassis_asset_tag") == _AZURE_TAG else HYPER_V
    if vendor.startswith("Amazon") or (vendor == "Xen" and "amazon" in dmi.get("bios_vendor", "").lower()):
        return None if ".metal" in product else AMAZON
    for words, hypervisor in (
        ("google compute engine", GOOGLE),
        ("vmware", VMWARE),
        ("virtualbox", VIRTUAL_BOX),
        ("innotek", VIRTUAL_BOX),
        ("parallels", PARALLELS),
        ("xen hvm domu", XEN),
        ("qemu", KVM),
        ("kvm", KVM),
        ("rhev", KVM),
        ("ovirt", KVM),
        ("openstack", KVM),
        ("digitalocean", KVM),
        ("bochs", KVM),
    ):
        if words in both:
            return hypervisor
    return None


def identify(
    dmi: Mapping[str, str],
    *,
    hypervisor_type: str = "",
    log: str = "",
    sysinfo: str = "",
    compatible: str = "",
) -> Hypervisor | None:
    """Names the hypervisor.

    Args:
        dmi: DMI strings by the names of `DMI_FIELDS`.
        hypervisor_type: Contents of ``/sys/hypervisor/type``.
        log: The kernel's message ``Hypervisor detected: …``.
        sysinfo: Contents of ``/proc/sysinfo`` (s390x).
        compatible: Contents of ``/proc/device-tree/compatible``.

    Returns:
        None where nothing names one.
    """
    named = _by_dmi(dmi)
    if named is not None:
        return named
    program = next((line for line in sysinfo.split("\n") if "Control Program" in line), "")
    if program:
        return Z_VM if "z/VM" in program else KVM
    if hypervisor_type.strip() == "xen":
        return XEN
    if "dummy-virt" in compatible or "riscv-virtio" in compatible or "qemu" in compatible:
        return KVM
    detected = log.lower().partition("hypervisor detected:")[2]
    for words, hypervisor in (("kvm", KVM), ("vmware", VMWARE), ("hyper-v", HYPER_V), ("xen", XEN)):
        if words in detected:
            return hypervisor
    return None
