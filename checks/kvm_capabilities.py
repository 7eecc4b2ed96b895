"""Has KVM the extensions that QEMU needs?

Asks ``/dev/kvm`` with ``KVM_CHECK_EXTENSION`` for those without which QEMU, and so KubeVirt's virt-launcher,
does not start a VM. No VM is made.
"""

from collections.abc import Iterator

from linux.errors import words
from linux.kvm import capabilities
from linux.kvm.machine import CallError, extension
from linux.kvm.uapi import PATH
from preflight.check import UNLESS_EMULATED, Run, check
from preflight.device import Device
from preflight.host import Host
from preflight.result import Finding, failing, passing, skipping, unknown, warning

COMPLETE = passing("Complete")
WITHOUT_ACCELERATION = warning(
    "WithoutAcceleration",
    hint="VMs run, with slow interrupts; update the kernel: apt-get dist-upgrade; dnf upgrade kernel; reboot",
)
MISSING = failing(
    "Missing",
    hint="uname -r; update the kernel, or the module that provides KVM: apt-get dist-upgrade; dnf upgrade "
    "kernel; reboot",
)
NOT_KNOWN = skipping("NotKnown")
NOT_ANSWERED = unknown("NotAnswered", hint=f"ls -l {PATH}; dmesg | grep -i kvm; then run again")


@check(
    "KVMCapabilities",
    question="Has KVM the extensions that QEMU needs?",
    weight=UNLESS_EMULATED,
    outcomes=(COMPLETE, WITHOUT_ACCELERATION, MISSING, NOT_KNOWN, NOT_ANSWERED),
    reads=(f"{PATH}: KVM_CHECK_EXTENSION",),
    source="kernel: Documentation/virt/kvm/api.rst; QEMU: accel/kvm/kvm-all.c, target/*/kvm/kvm.c",
    needs=("KVM",),
)
def kvm_capabilities(host: Host, run: Run) -> Finding:
    """Asks for each extension by its number."""
    machine = host.own_architecture
    needed = capabilities.NEEDED.get(machine)
    if needed is None:
        return NOT_KNOWN(f"what QEMU needs on {machine} is not known here")
    expected = capabilities.EXPECTED.get(machine, {})
    try:
        with host.open_device(PATH) as device:
            missing = list(_absent(device, machine, needed))
            slow = list(_absent(device, machine, expected))
            recommended = extension(device, machine, capabilities.NR_VCPUS)
            most = extension(device, machine, capabilities.MAX_VCPUS) or recommended
    except OSError as error:
        return NOT_ANSWERED(f"opening {PATH}: {words(error.errno or 0)}")
    except CallError as error:
        return NOT_ANSWERED(f"{error.call} on {PATH}: {words(error.errno)}")
    evidence = {"KVM_CAP_NR_VCPUS": str(recommended), "KVM_CAP_MAX_VCPUS": str(most)}
    evidence |= {f"KVM_CAP_{name}": "0" for name in (*missing, *slow)}
    if missing:
        return MISSING(f"QEMU does not start a VM without {_named(missing)}", evidence=evidence)
    if slow:
        return WITHOUT_ACCELERATION(
            f"interrupts take a detour through QEMU without {_named(slow)}", evidence=evidence
        )
    return COMPLETE(
        f"all {len(needed) + len(expected)} extensions are there; vCPUs of a VM: at most {most}, "
        f"{recommended} recommended",
        evidence=evidence,
    )


def _absent(device: Device, machine: str, wanted: dict[str, int]) -> Iterator[str]:
    return (name for name, number in wanted.items() if extension(device, machine, number) <= 0)


def _named(names: list[str]) -> str:
    return ", ".join(f"KVM_CAP_{name}" for name in names)
