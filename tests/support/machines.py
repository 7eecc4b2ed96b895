"""Machines in memory, by the words in which their kernels describe themselves."""

import stat

from memoryhost import KVM_NUMBER, FakeKVM, MemoryHost, Node, kvm_node

RELEASE = "6.12.0-1-amd64"
MODULES = f"/lib/modules/{RELEASE}"
INTEL_MODULE = "kernel/arch/x86/kvm/kvm-intel.ko.xz: kernel/arch/x86/kvm/kvm.ko.xz\n"
AMD_MODULE = "kernel/arch/x86/kvm/kvm-amd.ko.xz: kernel/arch/x86/kvm/kvm.ko.xz\n"


def x86(*flags: str, cpus: int = 2, vendor: str = "GenuineIntel") -> str:
    """Returns ``/proc/cpuinfo`` of x86 CPUs that have the flags."""
    return "\n".join(
        f"processor\t: {number}\nvendor_id\t: {vendor}\ncpu family\t: 6\nmodel name\t: Some CPU\n"
        f"flags\t\t: fpu lm {' '.join(flags)}\n"
        for number in range(cpus)
    )


ARM = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
S390 = (
    "vendor_id       : IBM/S390\n# processors    : 1\nfeatures\t: esan3 zarch stfle{sie}\n"
    "processor 0: version = FF,  identification = 0133E8,  machine = 3906\n"
)
POWER = "processor\t: 0\ncpu\t\t: POWER9 (architected)\n\nplatform\t: pSeries\nmachine\t: IBM,9009\n"
RISCV = "processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imafd{h}c_zicsr\nmmu\t\t: sv48\n"


def registered(device: FakeKVM | None = None, **changes: object) -> MemoryHost:
    """Returns a machine whose kernel has KVM registered and whose device is ``device``."""
    host = MemoryHost(
        {
            "/proc/misc": "200 tun\n232 kvm\n183 hw_random\n",
            "/proc/cpuinfo": x86("vmx"),
            "/sys/class/misc/kvm/dev": "10:232\n",
            "/sys/dev/char/1:3/uevent": "DEVNAME=null\n",
            "/sys/dev/char/10:232/uevent": "DEVNAME=kvm\n",
            "/etc/group": "root:x:0:\nkvm:x:107:\n",
            "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        }
    )
    host.own["mountinfo"] = "24 27 0:6 / /dev rw - devtmpfs devtmpfs rw\n"
    host.put("/dev/kvm", kvm_node(device, **changes))
    return host


def unregistered(cpuinfo: str, **files: str) -> MemoryHost:
    """Returns a machine without ``/dev/kvm``, with the module for Intel on disk.

    Args:
        cpuinfo: Its ``/proc/cpuinfo``.
        files: Further files, by what they are (``cmdline``, ``conf``, ``vendor``, …).
    """
    paths = {
        "cmdline": "/proc/cmdline",
        "conf": "/etc/modprobe.d/blacklist.conf",
        "vendor": "/sys/class/dmi/id/sys_vendor",
        "product": "/sys/class/dmi/id/product_name",
        "builtin": f"{MODULES}/modules.builtin",
        "dep": f"{MODULES}/modules.dep",
        "disabled": "/proc/sys/kernel/modules_disabled",
        "misc": "/proc/misc",
    }
    host = MemoryHost(
        {
            "/proc/misc": "200 tun\n183 hw_random\n",
            "/proc/cpuinfo": cpuinfo,
            "/proc/cmdline": "quiet\n",
            "/proc/sys/kernel/osrelease": f"{RELEASE}\n",
            f"{MODULES}/modules.builtin": "kernel/fs/ext4/ext4.ko\n",
            f"{MODULES}/modules.dep": INTEL_MODULE + AMD_MODULE,
        }
        | {paths[name]: content for name, content in files.items()}
    )
    host.own["mountinfo"] = "24 27 0:6 / /dev rw - devtmpfs devtmpfs rw\n"
    return host


def static_node() -> Node:
    """Returns the node that systemd makes at boot for a module that is not loaded; nothing is behind it."""
    return Node(mode=stat.S_IFCHR | 0o600, number=KVM_NUMBER, open_errno=19)
