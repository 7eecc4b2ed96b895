"""Can virtual machines talk to the host over VSOCK?

Opens ``/dev/vhost-vsock`` (kernel: drivers/vhost/vsock.c; vsock(7)), which KubeVirt hands to virtual machines
that ask for ``autoattachVSOCK``. Others do without, so a node that has no such device is left alone.
"""

from linux import opening
from linux.opening import Answer
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, skipping, unknown

PATH = "/dev/vhost-vsock"
NUMBER = (10, 241)
"""``VHOST_VSOCK_MINOR`` (kernel: include/linux/miscdevice.h)."""

MAKE = "rm -rf /dev/vhost-vsock; mknod -m 660 /dev/vhost-vsock c 10 241; find out what made it"

AVAILABLE = passing("Available")
DEVICE_MISSING = skipping("DeviceMissing")
NOT_A_DEVICE = failing("NotCharacterDevice", hint=MAKE)
WRONG_DEVICE = failing("WrongDevice", hint=MAKE)
DRIVER_MISSING = failing(
    "DriverMissing", hint="modprobe vhost_vsock; where the kernel has none: rm /dev/vhost-vsock"
)
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
    "VhostVsock",
    question="Can virtual machines talk to the host over VSOCK?",
    weight=ADVISORY,
    outcomes=tuple(OUTCOMES.values()),
    reads=("/dev/vhost-vsock: open",),
    source="kernel: drivers/vhost/vsock.c; vsock(7)",
)
def vhost_vsock(host: Host, run: Run) -> Finding:
    """Opens the device; nothing is set up."""
    trial = opening.try_to_open(host, PATH, NUMBER)
    told = trial.told
    if trial.answer is Answer.ABSENT:
        told += "; where VMs need it: modprobe vhost_vsock"
    return OUTCOMES[trial.answer](told, hint=trial.hint, evidence={PATH: trial.seen})
