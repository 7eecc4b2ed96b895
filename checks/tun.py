"""Can virtual machines have TAP network interfaces?

Opens ``/dev/net/tun``, the clone device of the TUN/TAP driver (kernel:
Documentation/networking/tuntap.rst). The list of modules says nothing here: the driver is often built in,
and ``/sys/module/tun`` is then absent.
"""

from linux import opening
from linux.opening import Answer
from preflight.check import BLOCKING, Run, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown

PATH = "/dev/net/tun"
NUMBER = (10, 200)
"""``TUN_MINOR`` (kernel: Documentation/admin-guide/devices.txt)."""

MAKE = "modprobe tun; mkdir -p /dev/net; rm -f /dev/net/tun; mknod -m 666 /dev/net/tun c 10 200"

AVAILABLE = passing("Available")
DEVICE_MISSING = failing("DeviceMissing", hint=MAKE)
NOT_A_DEVICE = failing("NotCharacterDevice", hint=MAKE)
WRONG_DEVICE = failing("WrongDevice", hint=MAKE)
DRIVER_MISSING = failing("DriverMissing", hint="modprobe tun; a kernel without CONFIG_TUN must be replaced")
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
    "Tun",
    question="Can virtual machines have TAP network interfaces?",
    weight=BLOCKING,
    outcomes=tuple(OUTCOMES.values()),
    reads=("/dev/net/tun: open",),
    source="kernel: Documentation/networking/tuntap.rst",
)
def tun(host: Host, run: Run) -> Finding:
    """Opens the clone device; no interface is created."""
    trial = opening.try_to_open(host, PATH, NUMBER)
    return OUTCOMES[trial.answer](trial.told, hint=trial.hint, evidence={PATH: trial.seen})
