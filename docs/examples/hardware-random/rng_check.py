"""Can guests get random numbers from hardware?

Reads /sys/class/misc/hw_random/rng_current, the generator that the kernel uses (kernel:
Documentation/admin-guide/hw_random.rst). QEMU hands its numbers to guests as virtio-rng.
"""

from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown

CURRENT = "/sys/class/misc/hw_random/rng_current"

AVAILABLE = passing("Available")
MISSING = failing("NoGenerator", hint="modprobe virtio_rng, or give the machine a TPM or CPU with RDRAND")
UNREADABLE = unknown("Unreadable", hint=f"cat {CURRENT}; in a container, mount the host's /sys")


@check(
    "HardwareRandom",
    question="Can guests get random numbers from hardware?",
    weight=ADVISORY,
    outcomes=(AVAILABLE, MISSING, UNREADABLE),
    reads=(CURRENT,),
    source="kernel: Documentation/admin-guide/hw_random.rst",
)
def hardware_random(host: Host, run: Run) -> Finding:
    """Reads which generator the kernel uses."""
    try:
        name = host.read_text(CURRENT, limit=256).strip()
    except FileNotFoundError as error:
        return MISSING(f"reading {error.filename}: {error.strerror}")
    except OSError as error:
        return UNREADABLE(f"reading {error.filename}: {error.strerror}")
    if not name or name == "none":
        return MISSING(f"{CURRENT} says {name or 'nothing'!r}", evidence={CURRENT: name})
    return AVAILABLE(f"{name} is in use", evidence={CURRENT: name})
