"""How QEMU is asked what it can do here, and how its answers are read; pure.

It is spoken to in QMP over a socket (QEMU: docs/interop/qmp-spec.rst): a greeting with its version, then an
answer to each command. The socket is its standard input: one end of a pair, so there is no path that others
could connect to or that could be left behind. ``-chardev socket,fd=`` is there since QEMU 2.12.
"""

import re
from collections.abc import Sequence

TIMEOUT = 3.0
"""Seconds; it takes a tenth of one."""

QUESTIONS = b'{"execute": "qmp_capabilities"}\n{"execute": "query-status"}\n{"execute": "quit"}\n'

_BARE = ("-nodefaults", "-no-user-config", "-display", "none")
_QMP = ("-chardev", "socket,id=qmp,fd=0", "-mon", "chardev=qmp,mode=control")

EMULATING = ("-machine", "none", "-accel", "tcg", *_BARE, *_QMP)
"""Arguments that start software emulation (TCG) without a machine."""

_MACHINES = {
    "x86_64": "q35",
    "aarch64": "virt,gic-version=host",
    "ppc64le": "pseries",
    "riscv64": "virt",
    "s390x": "s390-ccw-virtio",
}
"""The machine that KubeVirt or libvirt would choose, by ``uname -m``."""

FEATURES = {0x0CF: "core-capability", 0x10A: "arch-capabilities", 0x345: "pdcm"}
FEATURES |= dict.fromkeys(range(0x480, 0x493), "vmx")
"""Model-specific register to the feature of the CPU model with which QEMU sets it (target/i386/cpu.c)."""

_REFUSED = re.compile(r"failed to set MSR (0x[0-9a-f]{1,8}) to ", re.ASCII)
"""target/i386/kvm/kvm.c, kvm_buf_set_msrs."""

_SYSTEMS = {"i686": "i386", "ppc64le": "ppc64", "armv7l": "arm"}
"""QEMU's name of an architecture, where it is not ``uname -m``."""

_PACKAGES = {
    "x86_64": "qemu-system-x86",
    "i686": "qemu-system-x86",
    "aarch64": "qemu-system-arm",
    "ppc64le": "qemu-system-ppc",
    "s390x": "qemu-system-s390x",
    "riscv64": "qemu-system-misc",
    "loongarch64": "qemu-system-misc",
}
"""Debian's package with an architecture's emulator (packages.debian.org, trixie)."""


def programs(architecture: str, directories: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns where the emulator of an architecture may be, the likeliest first.

    Args:
        architecture: As ``uname -m`` says.
        directories: Where programs are looked for; where distributions install it is added.
    """
    name = f"qemu-system-{_SYSTEMS.get(architecture, architecture)}"
    found = (*directories, "/usr/bin", "/usr/local/bin")
    return (*dict.fromkeys(f"{directory}/{name}" for directory in found), "/usr/libexec/qemu-kvm")


def package(architecture: str) -> str:
    """Returns the command that installs the emulator of an architecture, on Debian's or Fedora's kin."""
    return f"apt install {_PACKAGES.get(architecture, 'qemu-system')} || dnf install qemu-kvm"


def others() -> tuple[str, ...]:
    """Returns paths of emulators, whatever they emulate."""
    names = ("x86_64", "aarch64", "ppc64", "riscv64", "s390x")
    return tuple(f"/usr/bin/qemu-system-{name}" for name in names)


def version(output: bytes) -> str:
    """Returns QEMU's version from its greeting, empty where it did not answer every command."""
    import json

    found, answers = "", 0
    for line in output.splitlines():
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(message, dict):
            continue
        greeting = message.get("QMP")
        if isinstance(greeting, dict):
            found = _version(greeting.get("version"))
        answers += "return" in message
    return found if answers >= 3 else ""


def _version(value: object) -> str:
    numbers = value.get("qemu") if isinstance(value, dict) else None
    if not isinstance(numbers, dict):
        return ""
    return ".".join(str(numbers.get(part)) for part in ("major", "minor", "micro"))


def complaint(output: bytes) -> str:
    """Returns the first line of what QEMU printed that is no warning, for a person.

    Where it gave up, the cause stands first; an assertion's text comes after it.
    """
    lines = (line.strip() for line in output.decode("utf-8", "replace").split("\n"))
    return next((line[:200] for line in lines if line and "warning: " not in line), "it said nothing")


def with_kvm(architecture: str, model: str) -> tuple[str, ...]:
    """Returns arguments that start a VM with KVM and a CPU model, whose CPU does not run.

    QEMU sets all of the CPU's registers before it would run: what KVM refuses ends it. Of the VM's memory
    nothing is touched but the firmware's.

    Raises:
        KeyError: No machine is known for the architecture.
    """
    machine = _MACHINES[architecture]
    return ("-machine", machine, "-accel", "kvm", "-cpu", model, "-m", "64", "-S", *_BARE, *_QMP)


def other_models(architecture: str, feature: str) -> tuple[str, ...]:
    """Returns CPU models to try in place of the host's, the best first; some architectures have none.

    Args:
        architecture: As ``uname -m`` says.
        feature: What `refused_feature` says.
    """
    without = (f"host,{feature}=off",) if feature else ()
    return (*without, "kvm64") if architecture == "x86_64" else without


def command(program: str, arguments: Sequence[str]) -> str:
    """Returns how a person starts what we start, without the socket."""
    return " ".join((program, *(word for word in arguments if word not in _QMP)))


def refused_feature(output: bytes) -> str:
    """Returns the feature of the CPU model whose register KVM refused, empty where QEMU tells none."""
    found = _REFUSED.search(output.decode("utf-8", "replace"))
    return FEATURES.get(int(found[1], 16), "") if found else ""
