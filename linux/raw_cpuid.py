"""Asks the CPU itself what it is able to, in a process of its own: ``python -m linux.raw_cpuid``.

py-cpuinfo runs the CPUID instruction, which needs no privilege. That answers what nothing else unprivileged
does: whether the CPU has the extension although the kernel, told so by the firmware, does not show it, and
the name of a hypervisor that has neither DMI nor a line in the kernel's log. Executing machine code is
nothing for the process that checks a node; hence the child.
"""

import os
import sys
from typing import Any, NamedTuple

COMMAND = (sys.executable, "-m", "linux.raw_cpuid")

TIMEOUT = 3.0
"""Seconds; it takes a quarter of one."""

_FLAGS = frozenset({"vmx", "svm", "hypervisor"})

_MOVE_TO_EAX = (b"\x89\xd8", b"\x89\xc8", b"\x89\xd0")
"""mov eax, from ebx, ecx and edx."""


class RawCPU(NamedTuple):
    """What the CPU itself reports.

    Attributes:
        flags: Those of ``vmx``, ``svm`` and ``hypervisor`` that it has.
        hypervisor: The hypervisor's signature of CPUID leaf 0x40000000, empty where there is none.
    """

    flags: frozenset[str]
    hypervisor: str = ""


def parse(output: bytes) -> RawCPU | None:
    """Returns what the child printed: a line of flags, one of the signature; None where it told nothing."""
    if not output:
        return None
    flags, _, signature = output.decode("ascii", "replace").partition("\n")
    return RawCPU(frozenset(flags.split()), signature.strip("\0\n ")[:12])


def main() -> None:
    """Prints what CPUID reports on the boot CPU, nothing where it cannot be asked.

    The kernel shows on no CPU what the boot CPU lacks (arch/x86/kernel/cpu/common.c), so that another one
    would tell nothing about the kernel or the firmware.
    """
    from cpuinfo.cpuinfo import CPUID

    cpu = CPUID()
    try:
        os.sched_setaffinity(0, {0})
    except OSError:
        return
    if cpu.is_selinux_enforcing:
        return
    flags = _FLAGS & set(cpu.get_flags(cpu.get_max_extension_support()))
    print(*sorted(flags))
    if "hypervisor" in flags:
        print(_signature(cpu))


def _signature(cpu: Any) -> str:
    read = b"\x53\xb8\0\0\0\x40\x31\xc9\x0f\xa2"  # push ebx; mov eax, 0x40000000; xor ecx, ecx; cpuid
    back = b"\x5b\xc3"  # pop ebx; ret
    registers = (
        cpu._run_asm(read, move, back)  # noqa: SLF001 - py-cpuinfo has no public way to ask for a leaf
        for move in _MOVE_TO_EAX
    )
    return b"".join(value.to_bytes(4, "little") for value in registers).decode("ascii", "replace")


if __name__ == "__main__":
    main()
