"""Looks up single facts of a host, through a reader of its files."""

from linux import cpuinfo, misc
from linux.architecture import ARCHITECTURES
from linux.cpuinfo import CPUInfo
from linux.hypervisor import DMI_FIELDS, Hypervisor, identify
from linux.kvm.uapi import KVM_MINOR
from linux.number import natural
from linux.reader import Reader, text

FIRST_PROCESSORS = 1 << 16
"""Bytes; an x86 CPU has about 2,000, an s390x machine lists its CPUs within the first 20,000."""

MAX_PROCESSORS = 1 << 26
"""Bytes; more than 8,192 CPUs, the most that a kernel is built for, take with 4,000 each (NR_CPUS)."""


def registered(reader: Reader) -> int | None:
    """Returns the minor number under which KVM is registered with the kernel, None where it is not.

    Asks ``/proc/misc``, and ``/sys/class/misc/kvm`` where that shows no device at all: it is hidden then.
    """
    devices = misc.parse(text(reader, "/proc/misc"))
    if devices:
        return devices.get("kvm")
    folder = "/sys/class/misc/kvm"
    if reader.exists(folder) and not reader.exists(f"{folder}/dev"):
        return KVM_MINOR
    return natural(text(reader, f"{folder}/dev").strip().partition(":")[2], digits=7)


def processors(reader: Reader) -> CPUInfo:
    """Reads ``/proc/cpuinfo``; without CPUs where it cannot be read."""
    try:
        return cpuinfo.parse(reader.read_text("/proc/cpuinfo", limit=MAX_PROCESSORS))
    except OSError:
        return CPUInfo({})


def first_processors(reader: Reader) -> CPUInfo:
    """Reads the start of ``/proc/cpuinfo``: what CPUs have in common is told without all of its megabytes.

    The last CPU in it may be cut short.

    Raises:
        OSError: The kernel's answer.
    """
    return cpuinfo.parse(reader.read_text("/proc/cpuinfo", limit=FIRST_PROCESSORS))


def architecture(reader: Reader, cpu: CPUInfo) -> str:
    """Returns ``uname -m`` of a host, empty where nothing tells it.

    ``/proc/sys/kernel/arch`` is there since Linux 6.1 (kernel: Documentation/admin-guide/sysctl/kernel.rst);
    else the shape of ``/proc/cpuinfo`` tells.
    """
    name = text(reader, "/proc/sys/kernel/arch").strip()[:64]
    if name in ARCHITECTURES:
        return name
    return cpu.architecture or (name if name.isascii() and name.isidentifier() else "")


def device_tree(reader: Reader, name: str) -> str:
    """Returns a property of the device tree, empty where there is none.

    ``/proc/device-tree`` is a link to ``/sys/firmware/devicetree/base`` (kernel:
    Documentation/ABI/testing/sysfs-firmware-ofw), either may be hidden.
    """
    return text(reader, f"/proc/device-tree/{name}") or text(reader, f"/sys/firmware/devicetree/base/{name}")


def hypervisor(reader: Reader, detected: str = "") -> Hypervisor | None:
    """Names what a host runs under, None where nothing does.

    Args:
        reader: Its files.
        detected: What the kernel's log says that it detected; reading all of that is another's choice.
    """
    return identify(
        {name: text(reader, f"/sys/class/dmi/id/{name}").strip() for name in DMI_FIELDS},
        hypervisor_type=text(reader, "/sys/hypervisor/type"),
        xen_capabilities=text(reader, "/proc/xen/capabilities"),
        log=detected,
        sysinfo=text(reader, "/proc/sysinfo"),
        compatible=device_tree(reader, "compatible"),
        hypervisor_node=device_tree(reader, "hypervisor/compatible"),
        clocks=text(reader, "/sys/devices/system/clocksource/clocksource0/available_clocksource"),
    )
