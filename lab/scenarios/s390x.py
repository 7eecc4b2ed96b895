"""s390x: QEMU does not emulate SIE, so that only *cannot* can be tried."""

from lab.architecture import S390X, Kernel
from lab.scenario import Scenario
from lab.shared import ABSENT, DEVICES, fails

BOOKWORM, FORKY = (Kernel(S390X, suite, "linux-image-s390x") for suite in ("bookworm", "forky"))

NO_SIE = "! grep -qw sie /proc/cpuinfo"
CANNOT = fails(
    "NestedNotExposed",
    ABSENT,
    NO_SIE,
    "grep -q KVM /proc/sysinfo",
    "! modprobe kvm",
    mentions=("KVM",),
)

SCENARIOS = (
    Scenario(
        "s390x/no-sie", BOOKWORM, CANNOT, ("-cpu", "max"), setup=DEVICES, order=0, tree="lab-s390x-no-sie"
    ),
    Scenario("s390x/no-sie-tried", BOOKWORM, CANNOT, ("-cpu", "max"), setup=(*DEVICES, "! modprobe kvm")),
    Scenario("s390x/no-sie-newest", FORKY, CANNOT, ("-cpu", "max"), setup=DEVICES),
)
