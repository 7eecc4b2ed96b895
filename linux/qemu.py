"""How QEMU is asked whether its software emulation works, and how its answers are read; pure.

QEMU is started without a machine and without devices, told to use TCG, and spoken to in QMP on its standard
streams (QEMU: docs/interop/qmp-spec.rst): a greeting with its version, then an answer to each command.
"""

TIMEOUT = 3.0
"""Seconds; it takes a tenth of one."""

ARGUMENTS = (
    *("-machine", "none", "-accel", "tcg"),
    *("-nodefaults", "-no-user-config", "-display", "none"),
    *("-qmp", "stdio"),
)

QUESTIONS = b'{"execute": "qmp_capabilities"}\n{"execute": "query-status"}\n{"execute": "quit"}\n'

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


def programs(architecture: str) -> tuple[str, ...]:
    """Returns the paths at which distributions install the emulator of an architecture."""
    name = f"qemu-system-{_SYSTEMS.get(architecture, architecture)}"
    return (f"/usr/bin/{name}", f"/usr/local/bin/{name}", "/usr/libexec/qemu-kvm")


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
    """Returns the last line that is no QMP message, for a person."""
    lines = [
        line for line in output.decode("utf-8", "replace").splitlines() if line and not line.startswith("{")
    ]
    return lines[-1][:200] if lines else "it said nothing"
