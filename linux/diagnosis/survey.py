"""Gathers what a host tells about virtualisation, through a reader of its files.

Everything here may be missing or refused; what could not be read is not known, and the explanation says so
where it matters.
"""

import stat
from collections.abc import Iterable

from linux import cmdline, kernel_log, misc, msr
from linux.cpuinfo import CPUInfo
from linux.diagnosis import module_survey
from linux.diagnosis.facts import AMD, DMI, LOG, NOTHING, Facts, Sign
from linux.kernel_log import Message
from linux.lookup import architecture, hypervisor, processors
from linux.reader import Reader, text

REGISTERS = "/dev/cpu/0/msr"


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
