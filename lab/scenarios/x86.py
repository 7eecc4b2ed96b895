"""x86-64: AMD's SVM, which QEMU emulates whole; it emulates no VMX."""

from lab.architecture import X86, Kernel
from lab.scenario import SEEN_GUEST, Scenario, Truth

BOOKWORM = Kernel(X86, "bookworm", "linux-image-cloud-amd64")
DEVICES = ("modprobe tun", "modprobe vhost_net")
WORKS = ("modprobe kvm_amd", *DEVICES)
MAX = ("-cpu", "max")

SCENARIOS = (
    Scenario(
        name="x86/works",
        kernel=BOOKWORM,
        machine=MAX,
        setup=WORKS,
        truth=Truth(
            "Pass",
            "GuestRan",
            oracle=SEEN_GUEST,
            facts=("grep -qw svm /proc/cpuinfo", "test -d /sys/module/kvm_amd"),
        ),
        order=0,
    ),
    Scenario(
        name="x86/not-loaded",
        kernel=BOOKWORM,
        machine=MAX,
        setup=DEVICES,
        truth=Truth(
            "Fail",
            "ModuleNotLoaded",
            oracle="open ENOENT",
            facts=("grep -qw svm /proc/cpuinfo", "test ! -d /sys/module/kvm_amd", "modinfo kvm_amd"),
            mentions=("modprobe kvm_amd",),
        ),
        order=0,
    ),
)
