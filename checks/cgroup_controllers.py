"""Can pods with virtual machines be given their share of CPU, memory and processes?

Reads which controllers the root of cgroup version 2 has, and what the pods' cgroup was given of them (kernel:
Documentation/admin-guide/cgroup-v2.rst); without version 2 at that place, ``/proc/cgroups`` tells which are
bound to a version 1 hierarchy (cgroups(7)). A hybrid counts as version 1, as container runtimes take it.
"""

from linux import cmdline, controllers
from linux.errors import words
from linux.reader import text
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown

ROOT = "/sys/fs/cgroup"
FILE = "cgroup.controllers"
HYBRID = f"{ROOT}/unified/{FILE}"
LIST = "/proc/cgroups"

PODS = ("kubepods.slice", "kubepods")
"""Where the kubelet puts pods, with its cgroup driver systemd or cgroupfs."""

VERSION_2 = ("cpu", "cpuset", "memory", "pids")
"""What the kubelet limits pods with. Devices are allowed by BPF there, which is no controller."""

VERSION_1 = ("cpu", "cpuset", "devices", "memory", "pids")

SEE = "cat /proc/cgroups /sys/fs/cgroup/cgroup.controllers"

AVAILABLE = passing("Available")
DISABLED_BY_KERNEL_PARAMETER = failing(
    "DisabledByKernelParameter",
    hint="grep -o 'cgroup_disable=[^ ]*' /proc/cmdline; take it off the kernel command line, and reboot (a "
    "Raspberry Pi's firmware adds it: append cgroup_enable=memory to /boot/firmware/cmdline.txt)",
)
CONTROLLER_MISSING = failing(
    "ControllerMissing",
    hint="grep -E 'CGROUP|CPUSETS|MEMCG' /boot/config-$(uname -r); a kernel with that controller is needed",
)
NOT_BOUND = failing(
    "NotBound", hint=f"findmnt -t cgroup,cgroup2; {SEE}; mount it, or reboot without cgroup_no_v1"
)
NOT_DELEGATED = failing(
    "NotDelegated", hint="cat /sys/fs/cgroup/cgroup.subtree_control; systemctl restart kubelet"
)
NOT_VISIBLE = unknown(
    "NotVisible", hint="vm-preflight run on the host; in a container, mount the host's /sys"
)


@check(
    "CgroupControllers",
    question="Can pods with virtual machines be given their share of CPU, memory and processes?",
    weight=ADVISORY,
    outcomes=(
        AVAILABLE,
        DISABLED_BY_KERNEL_PARAMETER,
        CONTROLLER_MISSING,
        NOT_BOUND,
        NOT_DELEGATED,
        NOT_VISIBLE,
    ),
    reads=(
        f"{ROOT}/{FILE}",
        f"{ROOT}/{{{','.join(PODS)}}}/{FILE}",
        LIST,
        "where one is missing: /proc/cmdline",
    ),
    source="kernel: Documentation/admin-guide/cgroup-v2.rst; cgroups(7)",
)
def cgroup_controllers(host: Host, run: Run) -> Finding:
    """Looks at version 2 first, then at version 1."""
    try:
        available = host.read_text(f"{ROOT}/{FILE}").split()
    except FileNotFoundError:
        return _version_1(host)
    except OSError as error:
        return NOT_VISIBLE(f"reading {ROOT}/{FILE}: {words(error.errno or 0)}")
    evidence = {f"{ROOT}/{FILE}": " ".join(available)}
    missing = [name for name in VERSION_2 if name not in available]
    # The root of the hierarchy alone has no such file: a container sees its own cgroup in the root's place.
    if missing and host.exists(f"{ROOT}/cgroup.type"):
        return NOT_VISIBLE(
            f"this container's own cgroup has no {_and(missing)}: what the host has is not to be seen here",
            evidence=evidence,
        )
    if missing:
        return _missing(host, missing, f"cgroup version 2 has no {_and(missing)}", evidence)
    for pods in PODS:
        path = f"{ROOT}/{pods}/{FILE}"
        if host.exists(path):
            given = text(host, path).split()
            evidence[path] = " ".join(given)
            if lacking := [name for name in VERSION_2 if name not in given]:
                return NOT_DELEGATED(
                    f"the kernel has {_and(lacking)}, but {ROOT}/{pods} was not given it", evidence=evidence
                )
    return AVAILABLE(f"cgroup version 2 has {_and(VERSION_2)}; devices are BPF's part", evidence=evidence)


def _version_1(host: Host) -> Finding:
    try:
        known = controllers.listed(host.read_text(LIST))
    except OSError as error:
        return NOT_VISIBLE(f"there is no {ROOT}/{FILE}, and reading {LIST}: {words(error.errno or 0)}")
    evidence = {LIST: " ".join(f"{name}={one.hierarchy},{one.enabled:d}" for name, one in known.items())}
    if not any(one.hierarchy for one in known.values()):
        return NOT_VISIBLE(
            f"there is no {ROOT}/{FILE}, and {LIST} shows no controller that is bound to version 1",
            evidence=evidence,
        )
    missing = [name for name in VERSION_1 if name not in known or not known[name].enabled]
    if missing:
        return _missing(host, missing, f"cgroup version 1 has no {_and(missing)}", evidence)
    if unbound := [name for name in VERSION_1 if not known[name].hierarchy]:
        elsewhere = set(text(host, HYBRID).split()) & set(unbound)
        return NOT_BOUND(
            f"{_and(unbound)}: bound to no cgroup version 1 hierarchy"
            + (f"; {HYBRID} has it, where runtimes do not look" if elsewhere else ""),
            evidence=evidence,
        )
    return AVAILABLE(f"cgroup version 1 has {_and(VERSION_1)}", evidence=evidence)


def _missing(host: Host, missing: list[str], message: str, evidence: dict[str, str]) -> Finding:
    """Tells whether the kernel's parameter, version 1 or the kernel itself is why."""
    known = controllers.listed(text(host, LIST))
    forbidden = cmdline.parse(text(host, "/proc/cmdline")).listed("cgroup_disable")
    for name in missing:
        if name in forbidden:
            told = f"the kernel was started with cgroup_disable={name}"
        elif name in known and not known[name].enabled:
            told = f"{LIST} says that {name} is disabled"
        else:
            continue
        return DISABLED_BY_KERNEL_PARAMETER(
            f"{message}: {told}", evidence={**evidence, "cgroup_disable": ",".join(forbidden)}
        )
    if bound := [name for name in missing if name in known and known[name].hierarchy]:
        return NOT_BOUND(f"{message}: {_and(bound)} is bound to a version 1 hierarchy", evidence=evidence)
    return CONTROLLER_MISSING(f"{message}: this kernel was built without", evidence=evidence)


def _and(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
