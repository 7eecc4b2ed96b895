"""Finds what the kernel's log says about virtualisation.

Each pattern names the kernel source that prints it. Messages changed over the years, so the words that
stayed are matched. The log is a ring: what is not found may have been overwritten.
"""

import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple


class Topic(Enum):
    """What a message is about."""

    FIRMWARE = auto()
    CONFIDENTIAL = auto()
    PARAMETER = auto()
    CLEARED = auto()
    NO_HYPERVISOR_MODE = auto()
    NO_NESTING = auto()
    NOT_SUPPORTED = auto()
    SIGNATURE = auto()
    MODULE = auto()
    NOT_ENABLED = auto()
    HYPERVISOR = auto()


class Message(NamedTuple):
    """A message that was found.

    Attributes:
        topic: What it is about.
        text: The message as it stands in the log.
    """

    topic: Topic
    text: str


_PATTERNS: tuple[tuple[Topic, str], ...] = (
    # arch/x86/kernel/cpu/feat_ctl.c: "VMX (outside TXT) disabled by BIOS"; vmx.c: "VMX not enabled (by BIOS)
    # in MSR_IA32_FEAT_CTL"; amd.c and svm.c: "SVM disabled (by BIOS) in MSR_VM_CR"; older kernels, x86.c:
    # "kvm: disabled by bios", "kvm: support for 'kvm_amd' disabled by bios".
    (Topic.FIRMWARE, r"\b(vmx|svm|kvm|kvm_intel|kvm_amd)\b.*(disabled by bios|\(by bios\))"),
    # svm.c: "KVM is unsupported when running as an SEV guest".
    (Topic.CONFIDENTIAL, "when running as an sev guest"),
    # arch/x86/mm/mem_encrypt.c: "Memory Encryption Features active: AMD SEV", "… Intel TDX"; a host with
    # memory encryption says "AMD SME". Before Linux 5.18: "AMD Memory Encryption Features active: SEV".
    (Topic.CONFIDENTIAL, r"memory encryption features active:.* (sev|intel tdx)\b"),
    # arch/x86/coco/tdx/tdx.c; arch/arm64/kernel/rsi.c: "RME: Using RSI version 1.0".
    (Topic.CONFIDENTIAL, "tdx: guest detected|using rsi version"),
    # arch/arm64/kvm/arm.c: "kvm [1]: KVM disabled from command line".
    (Topic.PARAMETER, "kvm disabled from command line"),
    # arch/x86/kernel/cpu/common.c: "Clearing CPUID bits: svm".
    (Topic.CLEARED, r"clearing cpuid bits:.* (vmx|svm)\b"),
    # arch/arm64/kvm/arm.c: "kvm [1]: HYP mode not available"; arch/riscv/kvm/main.c: "hypervisor extension
    # not available", "require SBI v0.2 or higher"; arch/s390/kvm/kvm-s390.c: "SIE is not available";
    # arch/loongarch/kvm/main.c: "Hardware virtualization not available".
    (
        Topic.NO_HYPERVISOR_MODE,
        "hyp mode not available|hypervisor extension not available|sie is not available",
    ),
    (Topic.NO_HYPERVISOR_MODE, r"kvm\b.*(hardware virtualization not available|require sbi)"),
    # arch/arm64/kernel/smp.c: "CPU: All CPU(s) started at EL1", "CPU: CPUs started in inconsistent modes".
    (Topic.NO_HYPERVISOR_MODE, "started at el1|cpus started in inconsistent modes|ignoring kvm-arm.mode"),
    # arch/powerpc/kvm/book3s_hv_nested.c: "Parent hypervisor does not support nesting".
    (Topic.NO_NESTING, "does not support nesting"),
    # virt/kvm/kvm_main.c: "kvm: enabling virtualization on CPU1 failed"; vmx.c: "VMXON faulted,
    # MSR_IA32_FEAT_CTL (0x3a) = 0x1".
    (Topic.NOT_ENABLED, "enabling virtualization on cpu.*fail|vmxon faulted"),
    # kernel/module/signing.c: "Loading of unsigned module is rejected"; security/lockdown: "Lockdown:
    # modprobe: unsigned module loading is restricted".
    (
        Topic.SIGNATURE,
        "(unsigned module|module with un(available key|supported crypto)).*(rejected|restricted)",
    ),
    # kernel/module/main.c: "Module kvm_amd is blacklisted", "kvm_amd: Unknown symbol x (err -2)", "kvm:
    # version magic 'x' should be 'y'", "kvm: disagrees about version of symbol x".
    (
        Topic.MODULE,
        r"\b(kvm|kvm_\w+|irqbypass|ccp)\b.*(is blacklisted|unknown symbol|version magic|about version of)",
    ),
    # arch/x86/kernel/cpu/hypervisor.c: "Hypervisor detected: KVM"; drivers/firmware/smccc/kvm_guest.c:
    # "hypervisor services detected (0x…)".
    (Topic.HYPERVISOR, "hypervisor detected:|hypervisor services detected"),
    # What KVM itself says when it does not start, in every architecture's words. svm.c: "SVM not supported by
    # CPU 1", "has_svm: svm not available"; vmx.c: "VMX not supported by CPU", "CPU 1 feature inconsistency!";
    # x86.c: "no hardware support for 'kvm_intel'", "inadequate fpu", "RT requires X86_FEATURE_CONSTANT_TSC".
    # What it says of guests, while it runs, names another process than the first.
    (
        Topic.NOT_SUPPORTED,
        r"(^|\] )(kvm[\w-]*|has_svm|svm|vmx)(:| \[1\]:) .*(not supported|unsupported|isn't)",
    ),
    (
        Topic.NOT_SUPPORTED,
        r"(^|\] )(kvm[\w-]*|has_svm)(:| \[1\]:) .*(not available|no hardware support|requires)",
    ),
    (Topic.NOT_SUPPORTED, r"(^|\] )kvm[\w-]*(:| \[1\]:) .*(inconsisten|inadequate|lacking)"),
    (
        Topic.NOT_SUPPORTED,
        r"(^|\] )kvm[\w-]*(:| \[1\]:) .*(error|cannot|failed to) (init|regist|alloc|final)",
    ),
)
"""Topics and the words, in lower case, that stayed the same over the years."""

MAX_LINE = 2048
"""Characters of a message that are looked at: the kernel's own end there (kernel/printk/internal.h,
PRINTK_MESSAGE_MAX), and a pattern takes time that grows with their square."""

MAX_MESSAGE = 200
"""Characters of a message that are kept."""

_MAYBE = (
    "vmx",
    "svm",
    "kvm",
    "guest",
    "encrypt",
    "rsi",
    "cpuid",
    "hyp",
    "sie",
    "el1",
    "mode",
    "nest",
    "modul",
)
"""A message without any of these words is on no topic: most are dismissed by that."""


def find(lines: Iterable[str]) -> list[Message]:
    """Returns the messages about virtualisation, oldest first, each with the first topic that fits."""
    found: dict[Message, None] = {}
    patterns = [(topic, re.compile(pattern)) for topic, pattern in _PATTERNS]
    for line in lines:
        lowered = line.strip()[:MAX_LINE].lower()
        if not any(word in lowered for word in _MAYBE):
            continue
        topic = next((topic for topic, pattern in patterns if pattern.search(lowered)), None)
        if topic is not None:
            found[Message(topic, line.strip()[:MAX_MESSAGE])] = None
    return list(found)


def first(messages: Iterable[Message], topic: Topic) -> str:
    """Returns the first message on a topic, empty where there is none."""
    return next((message.text for message in messages if message.topic is topic), "")
