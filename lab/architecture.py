"""The architectures of the lab's machines, as data: what Debian and QEMU call them, and what they need."""

from typing import NamedTuple

USERLAND = "bookworm"
"""The suite whose user land machines run: its Python is 3.11, the oldest that we support."""


class Architecture(NamedTuple):
    """One architecture.

    Attributes:
        name: The first word of a scenario's name.
        debian: Debian's name of it.
        emulator: QEMU's program.
        emulator_package: The Debian package that it is in.
        console: The kernel's name of the serial line that QEMU's ``-serial`` is.
        options: QEMU's options that every machine of it needs.
        parameters: The kernel's parameters that every machine of it needs.
        wheels: Platform tag of the wheels that pip takes for it, None where Debian's own packages do.
        packages: Debian packages beside those that every machine has.
        modules: Kernel modules to take along, with what they depend on.
        references: Programs inside whose verdict is shown beside ours.
        userland: The Debian suite of everything but the kernel.
    """

    name: str
    debian: str
    emulator: str
    emulator_package: str
    console: str
    options: tuple[str, ...]
    parameters: str = ""
    wheels: str | None = None
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ("kvm", "tun", "vhost_net")
    references: tuple[str, ...] = ()
    userland: str = USERLAND


X86 = Architecture(
    name="x86",
    debian="amd64",
    emulator="qemu-system-x86_64",
    emulator_package="qemu-system-x86",
    console="ttyS0",
    options=("-machine", "q35"),
    # Where the emulator is starved, Linux takes a timer that ticks late for a broken one, and panics.
    parameters="no_timer_check",
    wheels="manylinux2014_x86_64",
    packages=("acl", "apparmor", "libvirt-clients", "cpu-checker"),
    modules=("kvm", "kvm_amd", "kvm_intel", "tun", "vhost_net", "msr"),
    references=("virt-host-validate", "kvm-ok"),
)

ARM64 = Architecture(
    name="aarch64",
    debian="arm64",
    emulator="qemu-system-aarch64",
    emulator_package="qemu-system-arm",
    console="ttyAMA0",
    options=("-machine", "virt"),
    wheels="manylinux2014_aarch64",
    packages=("libvirt-clients",),
    references=("virt-host-validate",),
)

RISCV64 = Architecture(
    name="riscv64",
    debian="riscv64",
    emulator="qemu-system-riscv64",
    emulator_package="qemu-system-misc",
    console="ttyS0",
    options=("-machine", "virt"),
    packages=("python3-psutil",),
    userland="forky",
)
"""Debian's first suite with it is trixie. virt-host-validate is no longer among libvirt's clients there.

The emulator needs the package opensbi too.
"""

PPC64LE = Architecture(
    name="ppc64le",
    debian="ppc64el",
    emulator="qemu-system-ppc64",
    emulator_package="qemu-system-ppc",
    console="hvc0",
    options=(),
    packages=("python3-psutil", "libvirt-clients"),
    modules=("kvm", "kvm_hv", "tun", "vhost_net"),
    references=("virt-host-validate",),
)

POWERNV = PPC64LE._replace(name="powernv", packages=("python3-psutil",), references=())
"""POWER's bare metal, for which QEMU loads 128 MiB of archives at most: without libvirt."""

S390X = Architecture(
    name="s390x",
    debian="s390x",
    emulator="qemu-system-s390x",
    emulator_package="qemu-system-misc",
    console="ttysclp0",
    options=("-machine", "s390-ccw-virtio"),
    packages=("python3-psutil", "libvirt-clients"),
    references=("virt-host-validate",),
)


class Kernel(NamedTuple):
    """A Debian kernel.

    Attributes:
        architecture: Whose it is.
        suite: The Debian suite that it comes from.
        package: The package that depends on the newest one.
    """

    architecture: Architecture
    suite: str
    package: str

    def __str__(self) -> str:
        """Names it in a line."""
        return f"{self.package} of {self.suite}"
