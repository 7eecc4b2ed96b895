"""What was found on a host that can explain why KVM is not there, and words about it."""

from collections.abc import Mapping
from typing import NamedTuple

from linux.cmdline import CommandLine
from linux.cpuinfo import CPUInfo
from linux.hypervisor import Hypervisor
from linux.kernel_log import Message, Topic, first
from linux.modprobe import Rule
from linux.modules import Modules
from linux.raw_cpuid import RawCPU

LOG = "/dev/kmsg"
DMI = "/sys/class/dmi/id"

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


def complaint(facts: Facts, module: str) -> str:
    """Returns what the kernel's log says of a module of KVM's that does not start, empty where it does not.

    What another vendor's module said, that somebody tried to load too, is left out.
    """
    others = {"kvm_intel": ("svm", "kvm_amd"), "kvm_amd": ("vmx", "kvm_intel")}.get(module, ())
    own = (message for message in facts.log if not any(word in message.text.lower() for word in others))
    return first(own, Topic.NOT_SUPPORTED)


def unseen(facts: Facts) -> str:
    """Says in parentheses why the kernel's log tells nothing, empty where it was read."""
    return f" (the kernel log could not be read: {facts.log_error})" if facts.log_error else ""


def log(facts: Facts, message: str) -> Mapping[str, str]:
    """Returns what the kernel's log says as evidence, or that it could not be read."""
    shown = message or facts.log_error
    return {LOG: shown} if shown else {}


def to_see(facts: Facts, words: str) -> str:
    """Returns the command that shows what the kernel said, with the rights that it takes."""
    return f"{'sudo ' if facts.log_error else ''}dmesg | grep -iE '{words}'"
