"""Can devices be passed through to virtual machines: is an IOMMU in use?

Looks at ``/sys/kernel/iommu_groups`` (kernel: Documentation/ABI/testing/sysfs-kernel-iommu_groups) and
``/sys/class/iommu``; where no group is there, at the ACPI tables with which firmware announces an IOMMU. Only
virtual machines with host devices need one, so a node without one is not at fault.
"""

import re

from linux import cmdline
from linux.errors import words
from linux.reader import names, text
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, passing, unknown

GROUPS = "/sys/kernel/iommu_groups"
UNITS = "/sys/class/iommu"
TABLES = "/sys/firmware/acpi/tables"
NO_IOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

ANNOUNCED = {
    "DMAR": ("Intel VT-d", "intel_iommu=on"),
    "IVRS": ("AMD-Vi", "amd_iommu=on"),
    "IORT": ("Arm SMMU", ""),
    "VIOT": ("virtio-iommu", ""),
}
"""ACPI table to what it announces and the parameter that has the kernel use it (kernel-parameters.txt)."""

KIND = re.compile(r"[A-Za-z]+(-[A-Za-z]+)?", re.ASCII)
"""A group's type, such as ``DMA-FQ`` or ``identity``; older kernels have no such file."""

IN_USE = passing("InUse")
NOT_IN_USE = passing("NotInUse")
NONE_FOUND = passing("NoneFound")
UNREADABLE = unknown("Unreadable", hint=f"ls {GROUPS} {UNITS}; in a container, mount the host's /sys")


@check(
    "IOMMU",
    question="Can devices be passed through to virtual machines: is an IOMMU in use?",
    weight=ADVISORY,
    outcomes=(IN_USE, NOT_IN_USE, NONE_FOUND, UNREADABLE),
    reads=(
        f"{GROUPS}, its first group's type",
        UNITS,
        NO_IOMMU,
        f"where there is no group: {TABLES}, /proc/cmdline",
    ),
    source="kernel: Documentation/ABI/testing/sysfs-kernel-iommu_groups, admin-guide/kernel-parameters.txt",
)
def iommu(host: Host, run: Run) -> Finding:
    """Counts the groups; firmware is asked only where there are none."""
    try:
        groups = [name for name in host.listdir(GROUPS) if name.isdigit()]
    except FileNotFoundError:
        groups = []
        if not host.exists("/sys/kernel/mm"):
            return UNREADABLE(f"there is no {GROUPS}, and nothing else of /sys/kernel")
    except OSError as error:
        return UNREADABLE(f"reading {GROUPS}: {words(error.errno or 0)}")
    units = names(host, UNITS)
    evidence = {GROUPS: f"{len(groups)} groups"} | ({UNITS: " ".join(units)} if units else {})
    # Without an IOMMU, vfio makes groups of its own in that mode, which keep no device in its place.
    if groups and (units or text(host, NO_IOMMU).strip() not in ("Y", "1")):
        return _in_use(host, groups, evidence)
    announced = [table for table in names(host, TABLES) if table in ANNOUNCED]
    nothing = "no device can be passed through:"
    if not announced:
        return NONE_FOUND(f"{nothing} this machine shows no IOMMU", evidence=evidence)
    name, parameter = ANNOUNCED[announced[0]]
    given = cmdline.parse(text(host, "/proc/cmdline"))
    said = [f"{key}={value}" for key in ("iommu", "intel_iommu", "amd_iommu") if (value := given.last(key))]
    evidence |= {TABLES: " ".join(announced), "/proc/cmdline": " ".join(said)}
    switch = f"; {parameter} on the kernel command line" if parameter else ""
    return NOT_IN_USE(
        f"{nothing} firmware announces an IOMMU ({name}), the kernel does not use it"
        + (f" ({' '.join(said)})" if said else switch),
        evidence=evidence,
    )


def _in_use(host: Host, groups: list[str], evidence: dict[str, str]) -> Finding:
    path = f"{GROUPS}/{groups[0]}/type"
    try:
        evidence[path] = host.read_text(path).strip()
    except FileNotFoundError:
        pass
    except OSError as error:
        return UNREADABLE(f"reading {path}: {words(error.errno or 0)}", evidence=evidence)
    if not KIND.fullmatch(evidence.get(path, "unknown")):
        return UNREADABLE(f"{path} holds no type of a group", evidence=evidence)
    return IN_USE(f"devices can be passed through: {len(groups)} IOMMU groups", evidence=evidence)
