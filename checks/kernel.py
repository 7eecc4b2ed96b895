"""Is the kernel recent enough?

Compares the version that ``/proc/sys/kernel/osrelease`` begins with. By default 4.19 is asked for: the oldest
that Kubernetes 1.32 and newer accept, whose kubeadm refuses an older one (k8s.io/system-validators,
validators/types_unix.go). A vendor's older kernel may carry what newer ones brought, so this only warns.
"""

from linux import release
from linux.reader import text
from preflight.check import ADVISORY, Run, Setting, check
from preflight.host import Host
from preflight.result import Finding, failing, one_line, passing, unknown

PATH = "/proc/sys/kernel/osrelease"

MINIMUM = Setting(
    "minimum_release", "4.19", "The oldest kernel version that is good enough.", pattern=release.PATTERN
)

RECENT = passing("Recent")
TOO_OLD = failing(
    "TooOld",
    hint="upgrade the kernel (apt-get dist-upgrade; dnf upgrade kernel) and reboot; where the vendor has "
    "brought it up to date, lower minimum_release under [checks.Kernel] in the configuration",
)
UNREADABLE = unknown("Unreadable", hint=f"cat {PATH}; in a container, mount the host's /proc")


@check(
    "Kernel",
    question="Is the kernel recent enough?",
    weight=ADVISORY,
    outcomes=(RECENT, TOO_OLD, UNREADABLE),
    reads=(PATH,),
    source="uname(2); k8s.io/system-validators: validators/types_unix.go",
    settings=(MINIMUM,),
)
def kernel(host: Host, run: Run) -> Finding:
    """Compares the kernel's version with the minimum."""
    running = one_line(text(host, PATH), 128)
    version = release.version(running)
    if version is None:
        return UNREADABLE(
            f"{PATH} holds no kernel release: {running!r}" if running else f"{PATH} shows nothing"
        )
    minimum = run.text(MINIMUM)
    asked = release.version(minimum)
    message = f"Linux {running}, at least {minimum} is asked for"
    evidence = {PATH: running}
    if asked is None or version < asked:
        return TOO_OLD(message, evidence=evidence)
    return RECENT(message, evidence=evidence)
