"""Gathers what a host tells about virtualisation, through a reader of its files.

Everything here may be missing or refused; what could not be read is not known, and the explanation says so
where it matters.
"""

import stat
from collections.abc import Iterable
from typing import NamedTuple

from linux import cmdline, kernel_log, misc, msr
from linux.cmdline import CommandLine
from linux.cpuinfo import CPUInfo
from linux.diagnosis import module_survey
from linux.hypervisor import Hypervisor
from linux.kernel_log import Message
from linux.lookup import architecture, hypervisor, processors
from linux.modprobe import Rule
from linux.modules import Modules
from linux.raw_cpuid import RawCPU
from linux.reader import Reader, text

REGISTERS = "/dev/cpu/0/msr"
DMI = "/sys/class/dmi/id"
LOG = "/dev/kmsg"

AMD = ("AuthenticAMD", "HygonGenuine")
"""Vendors whose CPUs have SVM; the others' have VMX."""


class Sign(NamedTuple):
    """Something that tells.

    Attributes:
        where: The file that it stands in.
        what: What stands there.
    """

    where: str
    what: str

    def __str__(self) -> str:
        """Returns it as a person reads it."""
        return f"the kernel log says: {self.what}" if self.where == LOG else f"{self.where}: {self.what}"


NOTHING = Sign("", "")


class Facts(NamedTuple):
    """What was found on a host.

    Attributes:
        architecture: As ``uname -m`` says there, empty where nothing tells.
        cpu: Its CPUs.
        parameters: The kernel's command line.
        log: The kernel log's messages about virtualisation.
        log_error: Why the log could not be read, empty where it was.
        hypervisor: What the machine runs under, None where nothing names it.
        product: Vendor and name of the machine by its DMI strings, empty where it has none.
        confidential: What says that this is a confidential guest, `NOTHING` where nothing does.
        firmware: What a register says about virtualization switched off, `NOTHING` where it does not.
        modules: Kernel modules that have to do with KVM.
        rules: Lines of modprobe's configuration about loading modules.
        raw: What the CPU itself reports, None where it was not asked or did not answer.
        asked: The CPU was asked.
    """

    architecture: str = ""
    cpu: CPUInfo = CPUInfo({})
    parameters: CommandLine = CommandLine({})
    log: tuple[Message, ...] = ()
    log_error: str = ""
    hypervisor: Hypervisor | None = None
    product: str = ""
    confidential: Sign = NOTHING
    firmware: Sign = NOTHING
    modules: Modules = Modules()
    rules: tuple[Rule, ...] = ()
    raw: RawCPU | None = None
    asked: bool = False


def take(reader: Reader) -> Facts:
    """Reads everything that can explain why KVM is not there."""
    cpu = processors(reader)
    machine = architecture(reader, cpu)
    parameters = cmdline.parse(text(reader, "/proc/cmdline"))
    try:
        log, log_error = tuple(kernel_log.find(reader.kernel_log())), ""
    except OSError as error:
        log, log_error = (), error.strerror or type(error).__name__
    return Facts(
        architecture=machine,
        cpu=cpu,
        parameters=parameters,
        log=log,
        log_error=log_error,
        hypervisor=hypervisor(reader, kernel_log.first(log, kernel_log.Topic.HYPERVISOR)),
        product=" ".join(
            text(reader, f"{DMI}/{name}").strip() for name in ("sys_vendor", "product_name")
        ).strip(),
        confidential=_confidential(reader, cpu, log),
        firmware=_firmware(reader, cpu),
        modules=module_survey.take(reader, parameters, machine),
        rules=module_survey.rules(reader),
    )


def _confidential(reader: Reader, cpu: CPUInfo, log: Iterable[Message]) -> Sign:
    """The kernel's log, a CPU flag, the guest's attestation device, the ultravisor, or AMD's register.

    Kernel: Documentation/virt/coco, Documentation/arch/s390/…; ``prot_virt_guest`` of arch/s390/kernel/uv.c.
    """
    said = kernel_log.first(log, kernel_log.Topic.CONFIDENTIAL)
    if said:
        return Sign(LOG, said)
    if cpu.has("tdx_guest"):
        return Sign("/proc/cpuinfo", "flag tdx_guest")
    devices = misc.parse(text(reader, "/proc/misc"))
    for name in ("sev-guest", "tdx_guest", "tdx-guest"):
        if name in devices:
            return Sign("/proc/misc", name)
        if reader.exists(f"/sys/class/misc/{name}"):
            return Sign("/sys/class/misc", name)
    if text(reader, "/sys/firmware/uv/prot_virt_guest").strip() == "1":
        return Sign("/sys/firmware/uv/prot_virt_guest", "1, a guest of IBM Secure Execution")
    if reader.exists("/sys/devices/platform/arm-cca-dev"):
        return Sign("/sys/devices/platform/arm-cca-dev", "a realm of Arm CCA")
    status = _register(reader, msr.SEV_STATUS) if cpu.vendor in AMD else None
    return Sign(REGISTERS, f"SEV_STATUS (0xc0010131) is 0x{status:x}") if status else NOTHING


def _firmware(reader: Reader, cpu: CPUInfo) -> Sign:
    number = msr.VM_CR if cpu.vendor in AMD else msr.FEATURE_CONTROL
    contents = _register(reader, number) if cpu.vendor else None
    forbids = "" if contents is None else msr.firmware_forbids(number, contents)
    return Sign(REGISTERS, forbids) if forbids else NOTHING


def _register(reader: Reader, number: int) -> int | None:
    """Reads a register of the boot CPU, only where the module msr shows them already.

    Looking for the class first keeps the kernel from trying to load the module when a node without a driver
    is opened. A device under a captured tree would be that of our own machine.
    """
    try:
        device = stat.S_ISCHR(reader.stat(REGISTERS).st_mode)
        if device and not (reader.is_own_machine() and reader.exists("/sys/class/msr")):
            return None
        return msr.value(reader.read_at(REGISTERS, number, msr.WIDTH))
    except OSError:
        return None
