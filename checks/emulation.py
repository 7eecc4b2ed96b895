"""In which mode will virtual machines run, and can they run by emulation?

Where KVM is unusable, QEMU's software emulation (TCG) is what is left. A QEMU at hand is started without a
machine and asked over QMP (qemu.org: docs/interop/qmp-spec); without one nothing is known: virt-launcher's
image, say, brings its own.
"""

from linux import emulator, lookup, qemu
from linux.architecture import ARCHITECTURES
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, Status, failing, passing, unknown, warning

USE = 'kubectl patch vmruntime vmruntime --type merge -p \'{"spec":{"useEmulation":true}}\''

NOT_NEEDED = passing("NotNeeded")
EMULATION_ENABLED = warning(
    "EmulationEnabled", hint="VMs run several times slower; see the result of KVM for the cause"
)
EMULATION_AVAILABLE = warning("EmulationAvailable", hint=f"to run VMs slowly on such nodes: {USE}")
EMULATOR_MISSING = failing("EmulatorMissing", hint="install the QEMU of this architecture: qemu-system-…")
REINSTALL = "see what it says: qemu-system-… -machine none -accel tcg; reinstall QEMU"
EMULATOR_BROKEN = failing("EmulatorBroken", hint=REINSTALL)
EMULATOR_BROKEN_AND_NEEDED = failing("EmulatorBroken", hint=REINSTALL, blocking=True)
UNVERIFIED = unknown("Unverified", hint="run vm-preflight again where there is a QEMU to try it with")


@check(
    "Emulation",
    question="In which mode will virtual machines run, and can they run by emulation?",
    weight=ADVISORY,
    outcomes=(
        NOT_NEEDED,
        EMULATION_ENABLED,
        EMULATION_AVAILABLE,
        EMULATOR_MISSING,
        EMULATOR_BROKEN,
        EMULATOR_BROKEN_AND_NEEDED,
        UNVERIFIED,
    ),
    reads=("the finding of KVM", "qemu-system-* -machine none -accel tcg, over QMP"),
    source="QEMU: docs/interop/qmp-spec.rst",
    after=("KVM",),
)
def emulation(host: Host, run: Run) -> Finding:
    """Tells the mode; starts a QEMU only where KVM cannot be used."""
    found = run.findings.get("KVM")
    if found is not None and found.outcome.status is Status.PASS:
        return NOT_NEEDED("VMs run on hardware: KVM works")
    needed = "VMs can run by emulation only: KVM cannot be used"
    if found is None or found.outcome.status is not Status.FAIL:
        needed = "whether KVM can be used could not be told; where not, VMs can run by emulation only"
    architecture = lookup.architecture(host, lookup.processors(host)) or host.own_architecture
    if not host.is_own_machine():
        return UNVERIFIED(
            f"{needed}; nothing of another machine's files is started",
            hint="run vm-preflight on that machine itself",
        )
    install = qemu.package(architecture)
    programs = qemu.programs(
        architecture if architecture in ARCHITECTURES else host.own_architecture, host.program_directories
    )
    for program in programs:
        try:
            trial = emulator.start(host, program, qemu.EMULATING)
        except FileNotFoundError:
            continue
        if trial.version:
            outcome = EMULATION_ENABLED if run.use_emulation else EMULATION_AVAILABLE
            return outcome(f"{needed}; {trial.told} with TCG", evidence={program: trial.version})
        if not trial.proven:
            return UNVERIFIED(f"{needed}; {trial.told}")
        outcome = EMULATOR_BROKEN_AND_NEEDED if run.use_emulation else EMULATOR_BROKEN
        return outcome(
            f"{needed}; {trial.told}",
            hint=f"see what it says: {qemu.command(program, qemu.EMULATING)}; reinstall it: {install}",
        )
    others = [name for name in qemu.others() if name not in programs and host.exists(name)]
    if host.root != "/":
        there = next((name for name in programs if host.exists(name)), "")
        return UNVERIFIED(
            f"{needed}; " + (f"the host's {there} is not started from here" if there else "no QEMU is here"),
            hint="run vm-preflight on the host itself, or add a QEMU to this container's image",
        )
    if others:
        return EMULATOR_MISSING(f"{needed}; there is {others[0]}, but none for {architecture}", hint=install)
    return UNVERIFIED(f"{needed}; there is no QEMU here to try it with", hint=f"{install}; then run again")
