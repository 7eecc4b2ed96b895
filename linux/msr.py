"""Reads what firmware set in model-specific registers of an x86 CPU, where the host shows them.

``/dev/cpu/N/msr`` gives the register whose number is the file's offset, 8 bytes at a time (msr(4)). Numbers
and bits: kernel, arch/x86/include/asm/msr-index.h; Intel SDM volume 4, AMD APM volume 2.
"""

FEATURE_CONTROL = 0x3A
"""``IA32_FEAT_CTL`` of Intel and its like: bit 0 locks it, bit 2 allows VMX (bit 1 inside of TXT)."""

VM_CR = 0xC0010114
"""``MSR_VM_CR`` of AMD and Hygon: bit 4 switches SVM off."""

SEV_STATUS = 0xC0010131
"""``MSR_AMD64_SEV`` in a guest of AMD's: bits 0, 1 and 2 say SEV, SEV-ES and SEV-SNP."""

WIDTH = 8
"""Bytes of a register."""


def value(data: bytes) -> int | None:
    """Returns a register's value, None where fewer bytes came than it has."""
    return int.from_bytes(data[:WIDTH], "little") if len(data) >= WIDTH else None


def firmware_forbids(register: int, contents: int) -> str:
    """Says which bits of a register switch virtualization off, empty where none do."""
    if register == FEATURE_CONTROL and contents & 0b101 == 0b001:
        return f"IA32_FEAT_CTL (0x3a) is 0x{contents:x}: locked with VMX off"
    if register == VM_CR and contents & 1 << 4:
        return f"VM_CR (0xc0010114) is 0x{contents:x}: bit 4, SVMDIS, is set"
    return ""
