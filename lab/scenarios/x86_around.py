"""x86-64: what stands around KVM on a node: cgroups, security modules, huge pages, IOMMU."""

from lab.scenario import Scenario
from lab.x86 import BOOKWORM, LOADED, SVM, TRIXIE, runs

UNIFIED = ("mount -t cgroup2 cgroup2 /sys/fs/cgroup",)
SEPARATE = (
    "mount -t tmpfs tmpfs /sys/fs/cgroup",
    "cd /sys/fs/cgroup; mkdir cpu cpuset devices memory pids",
    "for c in cpu cpuset devices memory pids; do mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c; done",
)
PODS = "mkdir /sys/fs/cgroup/kubepods"
SECURITY = ("mount -t securityfs securityfs /sys/kernel/security",)

LIBVIRTD = (
    "H4sIAAAAAAACA+2UTU7DMBCFPzt27P4ApbBA4hqIHVdBMjRBkaKmSqqqx0GclIlDo0JVISTSVd9ibM+8sezxGxvPJqubolqi"
    "LWA8q7rKizLD2RFl8bIp6vUCkxLCIg+kHy2N++ftkwx3YN9hWa3zMtu2AYWhwy3/CxWtG2z/DvrX/VV/lv2sw1jriyX9xjQ9"
    "92/n97s8ZRkWmpQJQ8NzyU2/GnHBjKnMxl8eK5VyJFxxzZwzjiE5mS6UvMl48Ps4UcJ8TyVTUcAkKmTXP4noU4t6ZqKMM441"
    "cVtD+bTzMrw1ON1/UtH4H+tojOM1rJrHhwN6l+M/AWlsZuosBgAA"
)
"""``profile libvirtd /usr/sbin/libvirtd {}``, by apparmor_parser 3.0.8 -Q -K -o, then gzip and base64."""

CONFINED = (*SECURITY, f"echo {LIBVIRTD} | base64 -d | gunzip > /sys/kernel/security/apparmor/.load")


SCENARIOS = (
    Scenario(
        "x86/around-all-there",
        BOOKWORM,
        runs(
            "grep -qw memory /sys/fs/cgroup/cgroup.controllers",
            "test $(cat /sys/module/apparmor/parameters/enabled) = Y",
            "test $(cat /proc/sys/vm/nr_hugepages) = 8",
            CgroupControllers="Pass Available",
            SecurityModules="Pass NothingInTheWay",
            HugePages="Pass Reserved",
            VhostVsock="Skip DeviceMissing",
            SecureGuest="Pass NoneFound",
            TSC="Pass NotInvariant",
            HostCPUModel="Pass OfferTaken",
        ),
        SVM,
        cmdline="hugepages=8",
        setup=(*LOADED, *UNIFIED, *SECURITY),
    ),
    Scenario(
        "x86/around-in-the-way",
        BOOKWORM,
        runs(
            "! grep -qw memory /sys/fs/cgroup/cgroup.controllers",
            "grep -q '^libvirtd (enforce)' /sys/kernel/security/apparmor/profiles",
            CgroupControllers="Warn DisabledByKernelParameter",
            SecurityModules="Warn AppArmorProfile",
            HugePages="Pass NoneReserved",
        ),
        SVM,
        cmdline="cgroup_disable=memory",
        setup=(*LOADED, *UNIFIED, *CONFINED),
    ),
    Scenario(
        "x86/around-cgroup-v1",
        BOOKWORM,
        runs(
            "test -f /sys/fs/cgroup/memory/memory.limit_in_bytes",
            CgroupControllers="Pass Available",
            SecurityModules="Unknown NotVisible",
        ),
        SVM,
        setup=(*LOADED, *SEPARATE),
    ),
    Scenario(
        "x86/around-cgroup-hybrid-without-pids",
        BOOKWORM,
        runs(
            "grep -qw pids /sys/fs/cgroup/unified/cgroup.controllers",
            CgroupControllers="Warn NotBound",
            SecurityModules="Warn NoContainerPolicy",
        ),
        SVM,
        cmdline="security=selinux selinux=1 enforcing=1",
        setup=(
            *LOADED,
            *SEPARATE,
            "umount /sys/fs/cgroup/pids",
            "mkdir /sys/fs/cgroup/unified",
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
            "mount -t selinuxfs selinuxfs /sys/fs/selinux",
        ),
    ),
    Scenario(
        "x86/around-iommu",
        TRIXIE,
        runs(
            "test -d /sys/kernel/iommu_groups/0",
            "grep -q '\\[integrity\\]' /sys/kernel/security/lockdown",
            IOMMU="Pass InUse",
            SecurityModules="Pass NothingInTheWay",
            CgroupControllers="Pass Available",
        ),
        (*SVM, "-device", "intel-iommu"),
        cmdline="intel_iommu=on lockdown=integrity",
        setup=(
            *LOADED,
            *UNIFIED,
            "echo '+cpu +cpuset +memory +pids' > /sys/fs/cgroup/cgroup.subtree_control",
            PODS,
            *SECURITY,
        ),
    ),
    Scenario(
        "x86/around-iommu-off",
        TRIXIE,
        runs(
            "test -f /sys/firmware/acpi/tables/DMAR",
            "! test -d /sys/kernel/iommu_groups/0",
            "! grep -qw memory /sys/fs/cgroup/kubepods/cgroup.controllers",
            CgroupControllers="Warn NotDelegated",
            IOMMU="Pass NotInUse",
        ),
        (*SVM, "-device", "intel-iommu"),
        cmdline="intel_iommu=off",
        setup=(*LOADED, *UNIFIED, "echo '+cpu +pids' > /sys/fs/cgroup/cgroup.subtree_control", PODS),
    ),
)
