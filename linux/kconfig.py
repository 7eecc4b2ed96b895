"""Parses what a kernel was built with (kernel: Documentation/kbuild/kconfig.rst).

It stands in ``/proc/config.gz`` where CONFIG_IKCONFIG_PROC is on, else beside the kernel or its modules.
"""

from collections.abc import Mapping

COMPRESSED = "/proc/config.gz"

OPTIONS = {
    "kvm": "CONFIG_KVM",
    "kvm_intel": "CONFIG_KVM_INTEL",
    "kvm_amd": "CONFIG_KVM_AMD",
    "kvm_hv": "CONFIG_KVM_BOOK3S_64_HV",
    "kvm_pr": "CONFIG_KVM_BOOK3S_64_PR",
    "modules": "CONFIG_MODULES",
}
"""What decides on a module of KVM's, and on modules at all."""

MAX_TEXT = 4 * 1024 * 1024
"""Bytes of a configuration; real ones have about 300,000."""


def files(release: str) -> tuple[str, ...]:
    """Returns the paths at which distributions keep it for a release."""
    return (
        f"/boot/config-{release}",
        f"/lib/modules/{release}/config",
        f"/usr/lib/modules/{release}/config",
    )


def parse(text: str) -> Mapping[str, str]:
    """Returns ``y``, ``m`` or ``n`` by the names of `OPTIONS`; empty where this is no kernel's configuration.

    An option that is missing is off: it depends on another one that is.
    """
    set_options: dict[str, str] = {}
    for line in text.split("\n"):
        name, equals, value = line.strip().partition("=")
        if equals and name.startswith("CONFIG_"):
            set_options[name] = value
    if not set_options:
        return {}
    return {key: set_options.get(option, "n") for key, option in OPTIONS.items()}


def parse_compressed(data: bytes) -> Mapping[str, str]:
    """Parses ``/proc/config.gz``; empty where it cannot be decompressed."""
    import zlib

    try:
        text = zlib.decompressobj(wbits=31).decompress(data, MAX_TEXT)
    except zlib.error:
        return {}
    return parse(text.decode("utf-8", "replace"))
