"""Finds what the kernel's log says about virtualisation.

Each pattern names the kernel source that prints it. Messages changed over the years, so the words that
stayed are matched. The log is a ring: what is not found may have been overwritten.
"""

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple


class Topic(Enum):
    """What a message is about."""

    FIRMWARE = auto()
    CONFIDENTIAL = auto()
    PARAMETER = auto()
    NO_HYPERVISOR_MODE = auto()
    NO_NESTING = auto()
    NOT_SUPPORTED = auto()
    INCONSISTENT = auto()
    SIGNATURE = auto()
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


_PATTERNS: tuple[tuple[Topic, tuple[str, ...], tuple[str, ...]], ...] = (
    # arch/x86/kernel/cpu/feat_ctl.c: "VMX (outside TXT) disabled by BIOS"; vmx.c: "VMX not enabled (by BIOS)
    # in MSR_IA32_FEAT_CTL"; amd.c and svm.c: "SVM disabled (by BIOS) in MSR_VM_CR"; older kernels, x86.c:
    # "kvm: disabled by bios", "kvm: support for 'kvm_amd' disabled by bios".
    (Topic.FIRMWARE, ("disabled by bios", "(by bios)"), ("vmx", "svm", "kvm")),
    # svm.c: "KVM is unsupported when running as an SEV guest".
    (Topic.CONFIDENTIAL, ("when running as an sev guest",), ("",)),
    # arch/x86/mm/mem_encrypt.c: "Memory Encryption Features active: AMD SEV", "… Intel TDX"; a host with
    # memory encryption says "AMD SME".
    (Topic.CONFIDENTIAL, ("memory encryption features active:",), (" sev", "tdx")),
    (Topic.CONFIDENTIAL, ("tdx: guest detected",), ("",)),
    # arch/arm64/kvm/arm.c: "kvm [1]: KVM disabled from command line".
    (Topic.PARAMETER, ("kvm disabled from command line",), ("",)),
    # arch/arm64/kvm/arm.c: "kvm [1]: HYP mode not available"; arch/riscv/kvm/main.c: "hypervisor extension
    # not available"; arch/s390/kvm/kvm-s390.c: "SIE is not available".
    (Topic.NO_HYPERVISOR_MODE, ("hyp mode not available", "hypervisor extension not available"), ("",)),
    # arch/arm64/kernel/smp.c: "CPU: All CPU(s) started at EL1".
    (Topic.NO_HYPERVISOR_MODE, ("sie is not available", "started at el1"), ("",)),
    # arch/powerpc/kvm/book3s_hv_nested.c: "Parent hypervisor does not support nesting".
    (Topic.NO_NESTING, ("does not support nesting",), ("",)),
    # svm.c: "SVM not supported by CPU", "has_svm: svm not available"; vmx.c: "VMX not supported by CPU";
    # older kernels, x86.c: "no hardware support for 'kvm_intel'".
    (Topic.NOT_SUPPORTED, ("not supported by cpu", "svm not available"), ("vmx", "svm", "kvm")),
    (Topic.NOT_SUPPORTED, ("no hardware support",), ("kvm",)),
    # vmx.c: "CPU 1 feature inconsistency!"; svm.c on a CPU without SVM: see NOT_SUPPORTED.
    (Topic.INCONSISTENT, ("feature inconsistency", "inconsistent vmcs config"), ("",)),
    # virt/kvm/kvm_main.c: "kvm: enabling virtualization on CPU1 failed"; vmx.c: "VMXON faulted,
    # MSR_IA32_FEAT_CTL (0x3a) = 0x1".
    (Topic.NOT_ENABLED, ("enabling virtualization on cpu", "vmxon faulted"), ("fail", "fault")),
    # kernel/module/signing.c; security/lockdown: "Lockdown: modprobe: unsigned module loading is restricted".
    (Topic.SIGNATURE, ("unsigned module", "module with unavailable key"), ("rejected", "restricted")),
    # arch/x86/kernel/cpu/hypervisor.c: "Hypervisor detected: KVM".
    (Topic.HYPERVISOR, ("hypervisor detected:",), ("",)),
)


def find(lines: Iterable[str]) -> list[Message]:
    """Returns the messages about virtualisation, oldest first, at most one a topic and text."""
    found: dict[Message, None] = {}
    for line in lines:
        lowered = line.lower()
        for topic, any_of, and_any_of in _PATTERNS:
            if any(words in lowered for words in any_of) and any(words in lowered for words in and_any_of):
                found[Message(topic, line.strip()[:200])] = None
    return list(found)


def first(messages: Iterable[Message], topic: Topic) -> str:
    """Returns the first message on a topic, empty where there is none."""
    return next((message.text for message in messages if message.topic is topic), "")
