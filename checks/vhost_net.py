"""Can the kernel carry virtual machines' network packets (vhost)?

Opens ``/dev/vhost-net`` (kernel: drivers/vhost/net.c), which KubeVirt asks for with virtio networking.
Without it packets take a detour through QEMU: slower, but they arrive; hence advisory.
"""

from linux import opening
from linux.opening import Answer
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown

PATH = "/dev/vhost-net"
NUMBER = (10, 238)
"""``VHOST_NET_MINOR`` (kernel: Documentation/admin-guide/devices.txt)."""

LOAD = "modprobe vhost_net; to have it after each boot: echo vhost_net > /etc/modules-load.d/vhost_net.conf"
MAKE = "rm -rf /dev/vhost-net; mknod -m 660 /dev/vhost-net c 10 238; find out what made it"

AVAILABLE = passing("Available")
DEVICE_MISSING = failing("DeviceMissing", hint=LOAD)
NOT_A_DEVICE = failing("NotCharacterDevice", hint=MAKE)
WRONG_DEVICE = failing("WrongDevice", hint=MAKE)
DRIVER_MISSING = failing("DriverMissing", hint=LOAD)
ACCESS_DENIED = unknown("AccessDenied", hint=opening.where_denied(PATH))
NOT_IN_CONTAINER = unknown("DeviceNotInContainer", hint=opening.where_not_given(PATH))
OPEN_FAILED = unknown("OpenFailed", hint=opening.RUN_AGAIN)

OUTCOMES = {
    Answer.OPENS: AVAILABLE,
    Answer.ABSENT: DEVICE_MISSING,
    Answer.NOT_A_DEVICE: NOT_A_DEVICE,
    Answer.OTHER_DEVICE: WRONG_DEVICE,
    Answer.NOT_IN_CONTAINER: NOT_IN_CONTAINER,
    Answer.NO_DRIVER: DRIVER_MISSING,
    Answer.DENIED: ACCESS_DENIED,
    Answer.FAILED: OPEN_FAILED,
}


@check(
    "VhostNet",
    question="Can the kernel carry virtual machines' network packets (vhost)?",
    weight=ADVISORY,
    outcomes=tuple(OUTCOMES.values()),
    reads=("/dev/vhost-net: open",),
    source="kernel: drivers/vhost/net.c",
)
def vhost_net(host: Host, run: Run) -> Finding:
    """Opens the device; nothing is set up."""
    trial = opening.try_to_open(host, PATH, NUMBER)
    return OUTCOMES[trial.answer](trial.told, hint=trial.hint, evidence={PATH: trial.seen})
