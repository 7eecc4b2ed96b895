"""Are the limits for watching files large enough for the device plugins?

Reads ``fs.inotify`` below ``/proc/sys`` (inotify(7); kernel: fs/notify/inotify/inotify_user.c). A device
plugin watches the kubelet's socket, so that VMs get ``/dev/kvm`` again when the kubelet restarts; where no
inotify instance is left it does not start (*too many open files*: kubernetes/minikube#18831). The limits are
per user; root's are shared by systemd, the kubelet and each pod, of which the runtime takes three to six.
"""

from typing import NamedTuple

from linux.number import natural
from linux.reader import text
from preflight.check import ADVISORY, Run, Setting, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown

FOLDER = "/proc/sys/fs/inotify"


class Limit(NamedTuple):
    """One of the limits.

    Attributes:
        setting: What is asked for.
        name: Its file below `FOLDER`.
        ample: What the hint sets it to.
    """

    setting: Setting
    name: str
    ample: int


# The kernel's own default is 128 instances; 110 pods, as many as a kubelet takes by default, need some 500.
INSTANCES = Limit(
    Setting("minimum_user_instances", 512, "Least fs.inotify.max_user_instances.", minimum=0),
    "max_user_instances",
    8192,
)
# Up to Linux 5.10 the default is 8192 watches; since then it is 1% of memory, 20,000 on 3 GiB.
WATCHES = Limit(
    Setting("minimum_user_watches", 16384, "Least fs.inotify.max_user_watches.", minimum=0),
    "max_user_watches",
    524288,
)
LIMITS = (INSTANCES, WATCHES)

ENOUGH = passing("Enough")
TOO_LOW = failing(
    "TooLow",
    hint="printf 'fs.inotify.max_user_instances = 8192\\nfs.inotify.max_user_watches = 524288\\n' > "
    "/etc/sysctl.d/99-inotify.conf && sysctl --system",
)
UNREADABLE = unknown("Unreadable", hint="sysctl fs.inotify; in a container, mount the host's /proc")


@check(
    "Inotify",
    question="Are the limits for watching files large enough for the device plugins?",
    weight=ADVISORY,
    outcomes=(ENOUGH, TOO_LOW, UNREADABLE),
    reads=tuple(f"{FOLDER}/{limit.name}" for limit in LIMITS),
    source="inotify(7); kernel: fs/notify/inotify/inotify_user.c",
    settings=tuple(limit.setting for limit in LIMITS),
)
def inotify(host: Host, run: Run) -> Finding:
    """Compares both limits with their minimums."""
    found = {limit: natural(text(host, f"{FOLDER}/{limit.name}").strip(), digits=10) for limit in LIMITS}
    evidence = {f"{FOLDER}/{limit.name}": str(value) for limit, value in found.items() if value is not None}
    low = []
    told = []
    for limit, value in found.items():
        minimum = run.number(limit.setting)
        told.append(f"{limit.name} is {value}, at least {minimum} are asked for")
        if value is None:
            return UNREADABLE(f"{FOLDER}/{limit.name} shows no number", evidence=evidence)
        if value < minimum:
            low.append((limit, max(minimum, limit.ample)))
    if not low:
        return ENOUGH("; ".join(told), evidence=evidence)
    lines = "".join(f"fs.inotify.{limit.name} = {ample}\\n" for limit, ample in low)
    return TOO_LOW(
        "; ".join(told),
        hint=f"printf '{lines}' > /etc/sysctl.d/99-inotify.conf && sysctl --system",
        evidence=evidence,
    )
