"""Does every CPU have the virtualization flag?

Reads ``/proc/cpuinfo``, every CPU of it: flags can differ between sockets after a firmware update
(``vmx``, ``svm``; s390x ``sie``; riscv64 ``h``; aarch64 and ppc64le have none). It explains and never
decides against a guest that ran.
"""

from linux import lookup
from linux.architecture import ARCHITECTURES
from preflight.check import UNLESS_EMULATED, Run, check
from preflight.host import Host
from preflight.result import Finding, Status, failing, passing, skipping, unknown, warning

PATH = "/proc/cpuinfo"

FLAG_PRESENT = passing("FlagPresent")
FLAG_MISSING = failing(
    "FlagMissing", hint="the result of KVM has the cause and what to do: vm-preflight run --only KVM"
)
FLAG_ON_SOME_CPUS = failing(
    "FlagOnSomeCPUs",
    hint="update firmware, enable virtualization for all sockets; grep -cwE 'vmx|svm' /proc/cpuinfo; nproc",
)
SEE_GUESTS = "sudo vm-preflight run, which may see whether guests run without the flag"
FLAG_MISSING_UNDECIDED = unknown("FlagMissing", hint=SEE_GUESTS)
FLAG_ON_SOME_UNDECIDED = unknown("FlagOnSomeCPUs", hint=SEE_GUESTS)
WORKS_WITHOUT_FLAG = warning(
    "WorksWithoutFlag", hint="nothing to do: guests run; a tool that looks for flags only is wrong"
)
NOT_APPLICABLE = skipping("NotApplicable")
UNREADABLE = unknown("Unreadable", hint="head /proc/cpuinfo; in a container, mount the host's /proc")

_UNDECIDED = "but KVM is registered with the kernel, and whether guests run could not be told"

MAX_NAMED = 8
"""CPUs that a message names."""


@check(
    "CPU",
    question="Does every CPU have the virtualization flag?",
    weight=UNLESS_EMULATED,
    outcomes=(
        FLAG_PRESENT,
        FLAG_MISSING,
        FLAG_ON_SOME_CPUS,
        FLAG_MISSING_UNDECIDED,
        FLAG_ON_SOME_UNDECIDED,
        WORKS_WITHOUT_FLAG,
        NOT_APPLICABLE,
        UNREADABLE,
    ),
    reads=("/proc/cpuinfo", "/proc/sys/kernel/arch"),
    source="proc_cpuinfo(5); kernel: arch/x86/include/asm/cpufeatures.h",
    after=("KVM",),
)
def cpu(host: Host, run: Run) -> Finding:
    """Looks for the architecture's flag on every CPU."""
    info = lookup.processors(host)
    architecture = lookup.architecture(host, info)
    known = ARCHITECTURES.get(architecture)
    status = run.findings["KVM"].outcome.status if "KVM" in run.findings else None
    works = status is Status.PASS
    # Registered with the kernel, and we may not use it: there are machines that run guests without a flag.
    undecided = status is Status.UNKNOWN and lookup.registered(host) is not None
    if known is not None and not known.flags:
        return NOT_APPLICABLE(f"{architecture} has no flag for virtualization in {PATH}")
    if known is None or not info.flags:
        message = f"{PATH} shows no CPU that we know: it is empty, unreadable or of another architecture"
        return WORKS_WITHOUT_FLAG(f"{message}; but guests run") if works else UNREADABLE(message)
    able = info.cpus_with(*known.flags)
    evidence = {PATH: f"{len(able)} of {len(info.flags)} CPUs"}
    name = f" ({info.name})" if info.name else ""
    if len(able) == len(info.flags):
        flag = next(flag for flag in known.flags if info.has(flag))
        return FLAG_PRESENT(f"all {len(able)} CPUs have {flag}{name}", evidence=evidence)
    if not able:
        message = f"none of {len(info.flags)} CPUs has {known.feature}{name}"
        if undecided:
            return FLAG_MISSING_UNDECIDED(f"{message}; {_UNDECIDED}", evidence=evidence)
        return (WORKS_WITHOUT_FLAG if works else FLAG_MISSING)(
            f"{message}; but guests run" if works else message, evidence=evidence
        )
    unable = [str(number) for number in info.flags if number not in frozenset(able)]
    message = f"{len(unable)} of {len(info.flags)} CPUs lack {known.feature}: {', '.join(unable[:MAX_NAMED])}"
    message += " …" if len(unable) > MAX_NAMED else ""
    if undecided:
        return FLAG_ON_SOME_UNDECIDED(f"{message}; {_UNDECIDED}", evidence=evidence)
    return (WORKS_WITHOUT_FLAG if works else FLAG_ON_SOME_CPUS)(
        f"{message}; but guests run" if works else message, evidence=evidence
    )
