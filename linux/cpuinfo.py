"""Parses ``/proc/cpuinfo`` of every architecture (proc_cpuinfo(5); each ``arch/…/kernel/…`` writes its own).

x86 has ``flags`` for each CPU, aarch64 ``Features``, riscv64 ``isa``, loongarch64 ``Features``; s390x has one
``features`` line for all; ppc64le has no flags. It may be empty (lxcfs on s390x), hold thousands of CPUs, or
bytes that are no UTF-8.
"""

from typing import NamedTuple

from linux.number import natural

_X86_VENDORS = ("GenuineIntel", "AuthenticAMD", "HygonGenuine", "CentaurHauls", "Shanghai")

_FLAG_KEYS = ("flags", "Features", "features", "isa", "hart isa", "ASEs implemented")

_NAME_KEYS = ("model name", "Model Name", "Processor", "cpu", "uarch", "cpu model")
"""Keys of a CPU's name, the first of them the best."""

MAX_NAME = 128
"""Characters of a CPU's name that are kept."""


class CPUInfo(NamedTuple):
    """What ``/proc/cpuinfo`` says.

    Attributes:
        flags: CPU number to its flags; CPUs that are alike share one set.
        vendor: ``vendor_id``, empty where there is none.
        name: The first CPU's name, empty where there is none.
        architecture: As ``uname -m`` would say, as far as the file's shape tells, else empty.
        platform: POWER's ``platform`` (``pSeries`` is a guest of PowerVM or KVM), else empty.
        mmu: POWER's ``MMU`` (``Radix`` or ``Hash``), else empty.
    """

    flags: dict[int, frozenset[str]]
    vendor: str = ""
    name: str = ""
    architecture: str = ""
    platform: str = ""
    mmu: str = ""

    def cpus_with(self, *flags: str) -> list[int]:
        """Returns the numbers of the CPUs that have any of the flags."""
        wanted = frozenset(flags)
        return [number for number, present in self.flags.items() if wanted & present]

    def has(self, flag: str) -> bool:
        """Whether any CPU has the flag."""
        return bool(self.cpus_with(flag))


def parse(text: str) -> CPUInfo:
    """Parses the file; what it does not understand is left out."""
    flags: dict[int, frozenset[str]] = {}
    sets: dict[str, frozenset[str]] = {}
    common: frozenset[str] = frozenset()
    first: dict[str, str] = {}
    number = -1
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        if not colon:
            continue
        key = key.rstrip()
        if key not in first:
            first[key] = value.strip()
        if key == "processor":
            number = _number(value, number + 1)
            flags.setdefault(number, frozenset())
        elif key in _FLAG_KEYS:
            present = sets.get(value)
            if present is None:
                present = sets[value] = _flag_set(key, value)
            if number < 0:
                common = present
            else:
                flags[number] = flags[number] | present if flags[number] else present
        elif key.startswith("processor "):  # s390x: "processor 0: version = FF, …" after the common features
            flags[_number(key[10:], len(flags))] = common
    if common and not flags:
        flags[0] = common
    return CPUInfo(
        flags=flags,
        vendor=first.get("vendor_id", "")[:MAX_NAME],
        name=next((first[key][:MAX_NAME] for key in _NAME_KEYS if first.get(key)), ""),
        architecture=_architecture(first, sets),
        platform=first.get("platform", "")[:MAX_NAME],
        mmu=first.get("MMU", "")[:MAX_NAME],
    )


def _number(text: str, default: int) -> int:
    number = natural(text.strip(), digits=6)
    return default if number is None else number


def _flag_set(key: str, value: str) -> frozenset[str]:
    if key not in ("isa", "hart isa"):
        return frozenset(value.split())
    # RISC-V: "rv64imafdch_zicsr_svpbmt"; single-letter extensions, then named ones (riscv/uabi.rst).
    base, *named = value.strip().lower().split("_")
    return frozenset((*base[4:], *filter(None, named))) if base.startswith(("rv64", "rv32")) else frozenset()


def _architecture(first: dict[str, str], sets: dict[str, frozenset[str]]) -> str:
    vendor = first.get("vendor_id", "").strip()
    flags: frozenset[str] = next(iter(sets.values()), frozenset())
    if vendor == "IBM/S390":
        return "s390x"
    if vendor in _X86_VENDORS or "cpu family" in first:
        return "x86_64" if "lm" in flags else "i686"
    if "CPU implementer" in first:
        return "aarch64" if {"asimd", "fp"} & flags else "armv7l"
    if first.get("isa", "").startswith(("rv64", "rv32")):
        return "riscv64" if first["isa"].startswith("rv64") else "riscv32"
    if first.get("cpu", "").startswith(("POWER", "PPC")) or first.get("machine", "").startswith("PowerNV"):
        return "ppc64le"
    if first.get("CPU Family", "").startswith("Loongson"):
        return "loongarch64"
    return ""
