"""Asks the CPU itself for its virtualisation flags, in a process of its own: ``python -m linux.raw_cpuid``.

py-cpuinfo runs the CPUID instruction, which needs no privilege. That answers one question that nothing else
unprivileged does: whether the CPU has the extension although the kernel, told so by the firmware, does not
show it. Executing machine code is nothing for the process that checks a node; hence the child.
"""

import sys

COMMAND = (sys.executable, "-m", "linux.raw_cpuid")

TIMEOUT = 3.0
"""Seconds; it takes a quarter of one."""


def parse(output: bytes) -> frozenset[str]:
    """Returns the flags that the child printed."""
    return frozenset(output.decode("ascii", "replace").split())


def main() -> None:
    """Prints those of ``vmx`` and ``svm`` that CPUID reports."""
    from cpuinfo.cpuinfo import CPUID

    cpu = CPUID()
    if not cpu.is_selinux_enforcing:
        flags = cpu.get_flags(cpu.get_max_extension_support())
        print(*sorted({"vmx", "svm"} & set(flags)))


if __name__ == "__main__":
    main()
