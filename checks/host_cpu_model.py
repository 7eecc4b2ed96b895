"""Can virtual machines have the host's CPU model?

KubeVirt gives virtual machines the host's CPU model unless told otherwise. KVM can run guests and still
refuse that model: QEMU then ends when it sets a register of the CPU (a model-specific register, MSR) that KVM
does not take. A QEMU at hand is started with KVM, ``-cpu host`` and a CPU that does not run, and asked over
QMP (QEMU: docs/interop/qmp-spec.rst); where that fails, with other models, so that one that works is named.
Without a QEMU, x86's KVM itself is given what it offers (`linux.kvm.host_model_x86`).

A start takes a tenth of a second. What came of it is remembered by a process that runs again and again, as
long as the boot, QEMU's file, KVM's device node and its parameter ``ignore_msrs`` are the same
(docs/adr/0008-what-qemu-said-is-remembered.md).
"""

from linux import emulator, qemu
from linux.errors import words
from linux.reader import text
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, skipping, unknown


def _patch(cpu: str) -> str:
    """Returns the command that gives a VM of KubeVirt's a CPU model."""
    spec = f'{{"spec":{{"template":{{"spec":{{"domain":{{"cpu":{cpu}}}}}}}}}}}'
    return f"kubectl patch vm NAME --type merge -p '{spec}'"


def _without(feature: str) -> str:
    """Returns the command that gives it the host's, but for a feature."""
    return _patch(f'{{"model":"host-passthrough","features":[{{"name":"{feature}","policy":"disable"}}]}}')


BASIC = _patch('{"model":"kvm64"}')

HOST_MODEL_WORKS = passing("HostModelWorks")
HOST_MODEL_FAILS = failing("HostModelFails", hint=BASIC)
OFFER_TAKEN = passing("OfferTaken")
OFFER_REFUSED = failing("OfferRefused", hint=BASIC)
EMULATOR_MISSING = skipping("EmulatorMissing")
NOT_THIS_MACHINE = skipping("NotThisMachine")
UNSUPPORTED = skipping("Unsupported")
NOT_TOLD = unknown(
    "NotTold", hint=f"timeout 3 {qemu.command('qemu-system-x86_64', qemu.with_kvm('x86_64', 'host'))}"
)

ANSWERS = (HOST_MODEL_WORKS, HOST_MODEL_FAILS, OFFER_TAKEN, OFFER_REFUSED)


KVM = "/dev/kvm"
IGNORE_MSRS = "/sys/module/kvm/parameters/ignore_msrs"
"""With it KVM takes registers that it does not know (kernel: admin-guide/kernel-parameters.txt)."""


@check(
    "HostCPUModel",
    question="Can virtual machines have the host's CPU model?",
    weight=ADVISORY,
    outcomes=(*ANSWERS, EMULATOR_MISSING, NOT_THIS_MACHINE, UNSUPPORTED, NOT_TOLD),
    reads=(
        "qemu-system-* -accel kvm -cpu host, over QMP",
        f"without a QEMU: {KVM}: KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2, KVM_GET_MSRS, KVM_SET_MSRS",
        IGNORE_MSRS,
    ),
    source="QEMU: docs/interop/qmp-spec.rst, target/i386/kvm/kvm.c",
    timeout=4 * qemu.TIMEOUT,
    needs=("KVM",),
)
def host_cpu_model(host: Host, run: Run) -> Finding:
    """Starts QEMU with the host's model; with others only where that fails."""
    architecture = host.own_architecture
    if not host.is_own_machine():
        return NOT_THIS_MACHINE("nothing of another machine's files is started")
    try:
        qemu.with_kvm(architecture, "host")
    except KeyError:
        return UNSUPPORTED(f"how QEMU is started on {architecture} is not known here")
    for program in qemu.programs(architecture, host.program_directories):
        depends = _depends(host, program)
        if before := _remembered(run, depends):
            return before
        try:
            finding = _ask_qemu(host, program, architecture)
        except FileNotFoundError:
            continue
        return finding._replace(evidence={**finding.evidence, **depends})
    if architecture != "x86_64":
        return EMULATOR_MISSING("there is no QEMU here to try it with")
    depends = _depends(host)
    if before := _remembered(run, depends):
        return before
    finding = _ask_kvm(host, architecture)
    return finding._replace(evidence={**finding.evidence, **depends})


def _depends(host: Host, program: str = "") -> dict[str, str]:
    """Returns what an answer depends on, nothing where that cannot be told and so nothing be remembered."""
    if program and host.root != "/":  # what is started is our own root's, what can be looked at is the host's
        return {}
    try:
        node = host.stat(KVM)
        file = host.stat(program) if program else None
    except OSError:
        return {}
    return {
        "boot": host.boot_id(),
        "QEMU": f"{program}, inode {file.st_ino}, {file.st_size} bytes, of {file.st_mtime:.3f}"
        if file
        else "none",
        KVM: f"inode {node.st_ino}, of {node.st_ctime:.3f}",
        IGNORE_MSRS: text(host, IGNORE_MSRS).strip(),
    }


def _remembered(run: Run, depends: dict[str, str]) -> Finding | None:
    before = run.previous
    if before and before.outcome in ANSWERS and depends and depends.items() <= before.evidence.items():
        return before._replace(evidence={**before.evidence, "asked": "in an earlier run"})
    return None


def _ask_qemu(host: Host, program: str, architecture: str) -> Finding:
    """Tells what a QEMU makes of the host's model.

    Raises:
        FileNotFoundError: There is no such program.
    """
    trial = emulator.start(host, program, qemu.with_kvm(architecture, "host"))
    if trial.version:
        return HOST_MODEL_WORKS(f"{trial.told} with KVM and -cpu host", evidence={"-cpu host": trial.told})
    told = f"with -cpu host, {trial.told}"
    models = qemu.other_models(architecture, trial.feature) if trial.proven else ()
    works = [
        model for model in models if emulator.start(host, program, qemu.with_kvm(architecture, model)).version
    ]
    if not works:
        nor = f"; nor does it start with -cpu {' or '.join(models)}" if models else ""
        command = qemu.command(program, qemu.with_kvm(architecture, "host"))
        return NOT_TOLD(told + nor, hint=f"timeout 3 {command}")
    return HOST_MODEL_FAILS(
        f"{told}; it starts with -cpu {' and with -cpu '.join(works)}",
        hint=_without(trial.feature) if "," in works[0] else BASIC,
        evidence={"-cpu host": trial.told},
    )


def _ask_kvm(host: Host, architecture: str) -> Finding:
    """Tells whether a vCPU takes what KVM offers."""
    from linux.kvm import host_model_x86
    from linux.kvm.machine import CallError

    again = f"to have QEMU asked: {qemu.package(architecture)}; then run again"
    try:
        with host.open_device(KVM) as device:
            answer = host_model_x86.ask(device, architecture)
    except OSError as error:
        return NOT_TOLD(f"there is no QEMU here; opening {KVM}: {words(error.errno or 0)}", hint=again)
    except CallError as error:
        return NOT_TOLD(f"there is no QEMU here; {error.call}: {words(error.errno)}", hint=again)
    if answer.refused is None:
        return OFFER_TAKEN(
            f"a vCPU takes the CPUID and the registers (MSRs) that KVM offers: {answer.registers} set; "
            "there is no QEMU here to try it with"
        )
    register, value = answer.refused
    feature = qemu.FEATURES.get(register)
    return OFFER_REFUSED(
        f"KVM offers the register (MSR) {register:#x} with {value:#x}, but a vCPU does not take it: QEMU "
        "with -cpu host ends on that",
        hint=_without(feature) if feature else again,
        evidence={f"KVM_SET_MSRS {register:#x}": f"{value:#x} is refused"},
    )
