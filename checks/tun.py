"""Can virtual machines have TAP network interfaces?

Opens ``/dev/net/tun``, the clone device of the TUN/TAP driver (kernel:
Documentation/networking/tuntap.rst). The list of modules says nothing here: the driver is often built in,
and ``/sys/module/tun`` is then absent.
"""

import os

from linux import device_node
from linux.device_node import Answer
from linux.errors import words
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
ACCESS_DENIED = unknown(
    "AccessDenied",
    hint="sudo vm-preflight run; in a pod: privileged; in a container: docker run --device /dev/net/tun",
)
OPEN_FAILED = unknown("OpenFailed", hint="dmesg | tail; ulimit -n; then run again")


@check(
    "Tun",
    question="Can virtual machines have TAP network interfaces?",
    weight=BLOCKING,
    outcomes=(
        AVAILABLE,
        DEVICE_MISSING,
        NOT_A_DEVICE,
        WRONG_DEVICE,
        DRIVER_MISSING,
        ACCESS_DENIED,
        OPEN_FAILED,
    ),
    reads=("/dev/net/tun: open",),
    source="kernel: Documentation/networking/tuntap.rst",
)
def tun(host: Host, run: Run) -> Finding:
    """Opens the clone device; no interface is created."""
    try:
        number = host.stat(PATH).st_rdev
        if number and (os.major(number), os.minor(number)) != NUMBER:
            return WRONG_DEVICE(
                f"{PATH} is {os.major(number)}:{os.minor(number)}, tun is 10:200; it was not opened"
            )
        host.open_device(PATH).close()
    except OSError as error:
        outcome = {
            Answer.ABSENT: DEVICE_MISSING,
            Answer.NO_DRIVER: DRIVER_MISSING,
            Answer.NOT_A_DEVICE: NOT_A_DEVICE,
            Answer.DENIED: ACCESS_DENIED,
            Answer.OTHER: OPEN_FAILED,
        }[device_node.answer(error)]
        return outcome(f"opening {PATH}: {words(error.errno or 0)}", evidence={PATH: words(error.errno or 0)})
    return AVAILABLE(f"{PATH} opens")
