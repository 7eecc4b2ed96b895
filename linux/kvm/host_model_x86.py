"""Does KVM take the CPU that it offers? x86: what QEMU does for ``-cpu host``, without QEMU.

QEMU gives a vCPU the CPUID that KVM offers, then sets the model-specific registers (MSRs) that go with it to
what KVM offers, and ends where KVM refuses one (QEMU: target/i386/kvm/kvm.c, kvm_init_msrs; kernel:
Documentation/virt/kvm/api.rst, ``KVM_GET_MSR_FEATURE_INDEX_LIST``). Registers whose values QEMU makes by
rules of its own are left out: those of VMX and of performance monitoring.
"""

import errno
import struct
from typing import NamedTuple

from linux.kvm.machine import VCPU, VM, CallError, Descriptor
from linux.kvm.uapi import Requests

MOST_ENTRIES = 256
"""Entries of CPUID that are asked for (kernel: KVM_MAX_CPUID_ENTRIES); machines have less than a hundred."""

MOST_REGISTERS = 512

ENTRIES, ENTRY_SIZE = 8, 40
"""Where the entries of ``struct kvm_cpuid2`` begin, and the bytes of one."""

UCODE_REV, CORE_CAPABILITIES, ARCH_CAPABILITIES = 0x8B, 0xCF, 0x10A

SET_BY_QEMU = {UCODE_REV: None, CORE_CAPABILITIES: 30, ARCH_CAPABILITIES: 29}
"""A register to the bit of CPUID that says that the CPU has it (leaf 7, edx); None: every CPU has."""


class Refused(NamedTuple):
    """A register whose value KVM offers and does not take.

    Attributes:
        register: Its number.
        value: What KVM offers.
    """

    register: int
    value: int


class Answer(NamedTuple):
    """What KVM made of its own offer.

    Attributes:
        registers: The number of registers that were set.
        refused: The register at which it ended, None where all were taken.
    """

    registers: int
    refused: Refused | None


def ask(system: Descriptor, machine: str) -> Answer:
    """Makes a vCPU and gives it what KVM offers.

    Args:
        system: The open ``/dev/kvm``.
        machine: ``uname -m`` of the kernel that answers: x86.

    Raises:
        CallError: A call failed.
    """
    requests = Requests(machine)
    offer = _offered_cpuid(system, requests)
    features = _features(offer)
    offered = _offered_registers(system, requests)
    with VM(system, machine) as vm, vm.create_vcpu() as vcpu:
        vcpu.ioctl("KVM_SET_CPUID2", requests.set_cpuid2, offer)
        registers = 0
        for number, bit in SET_BY_QEMU.items():
            if number not in offered or not (bit is None or features >> bit & 1):
                continue
            value = _value(system, requests, number)
            if not _take(vcpu, number, value):
                return Answer(registers, Refused(number, value))
            registers += 1
    return Answer(registers, None)


def _offered_cpuid(system: Descriptor, requests: Requests) -> bytearray:
    """Returns ``struct kvm_cpuid2``, cut to the entries that there are."""
    offer = bytearray(ENTRIES + MOST_ENTRIES * ENTRY_SIZE)
    struct.pack_into("=I", offer, 0, MOST_ENTRIES)
    _ioctl(system, "KVM_GET_SUPPORTED_CPUID", requests.get_supported_cpuid, offer)
    (entries,) = struct.unpack_from("=I", offer)
    return offer[: ENTRIES + min(entries, MOST_ENTRIES) * ENTRY_SIZE]


def _features(offer: bytearray) -> int:
    """Returns edx of CPUID's leaf 7, 0 where there is no such leaf."""
    for place in range(ENTRIES, len(offer), ENTRY_SIZE):
        leaf, index, _flags, _eax, _ebx, _ecx, edx = struct.unpack_from("=7I", offer, place)
        if (leaf, index) == (7, 0):
            return int(edx)
    return 0


def _offered_registers(system: Descriptor, requests: Requests) -> frozenset[int]:
    """Returns the registers whose values KVM offers; none before Linux 4.17."""
    listed = bytearray(4 + 4 * MOST_REGISTERS)
    struct.pack_into("=I", listed, 0, MOST_REGISTERS)
    try:
        _ioctl(system, "KVM_GET_MSR_FEATURE_INDEX_LIST", requests.get_msr_feature_index_list, listed)
    except CallError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):
            return frozenset()
        raise
    (number,) = struct.unpack_from("=I", listed)
    return frozenset(struct.unpack_from(f"={min(number, MOST_REGISTERS)}I", listed, 4))


def _value(system: Descriptor, requests: Requests, number: int) -> int:
    asked = bytearray(struct.pack("=4IQ", 1, 0, number, 0, 0))
    _ioctl(system, "KVM_GET_MSRS", requests.get_msrs, asked)
    return int(struct.unpack_from("=Q", asked, 16)[0])


def _take(vcpu: VCPU, number: int, value: int) -> bool:
    """Sets a register; the call answers how many it has set."""
    given = bytearray(struct.pack("=4IQ", 1, 0, number, 0, value))
    return vcpu.ioctl("KVM_SET_MSRS", vcpu.requests.set_msrs, given) == 1


def _ioctl(system: Descriptor, name: str, request: int, argument: bytearray) -> None:
    try:
        system.ioctl(request, argument)
    except OSError as error:
        raise CallError(name, error) from error
