"""Names what started this process in a box of its own, and how that one is told to give more: pure.

What tells: the environment that runtimes set (``KUBERNETES_SERVICE_HOST``; ``container``, see systemd's
Container Interface), the files that they leave in a container (``/run/.containerenv``, ``/.dockerenv``,
``/run/systemd/container``), and the paths of cgroups, which a namespace may hide (cgroup_namespaces(7)).
"""

import re
from typing import NamedTuple

from linux import view

FILES = ("run/.containerenv", ".dockerenv", "run/systemd/container", "run/host/container-manager")
"""Files of our own root that tell of a container; the image of a machine may hold them all the same."""

INITIAL_NAMESPACES = {
    "ipc": "ipc:[4026531839]",
    "uts": "uts:[4026531838]",
    "pid": view.INITIAL_PID_NAMESPACE,
    "cgroup": "cgroup:[4026531835]",
}
"""``readlink /proc/self/ns/NAME`` in no container (kernel: include/linux/proc_ns.h, ``PROC_…_INIT_INO``)."""


class Runtime(NamedTuple):
    """What started this process.

    Attributes:
        name: Its name, for a person.
        device: How it is told to hand over a device; PATH stands for it.
        group: How it is told to give the device's group; GID stands for its number, PATH for the device.
        no_filter: How it is told to leave the seccomp filter out.
    """

    name: str
    device: str
    group: str
    no_filter: str


KUBERNETES = Runtime(
    "Kubernetes",
    "in the container's securityContext, privileged: true, and a hostPath volume of /dev",
    "in the pod's securityContext, supplementalGroups: [GID], or in the container's, runAsUser: 0",
    "in the pod's securityContext, seccompProfile: {type: Unconfined}",
)
PODMAN = Runtime(
    "Podman",
    "podman run --device PATH --group-add keep-groups …",
    "podman run --device PATH --group-add keep-groups …, as a user of group GID",
    "podman run --security-opt seccomp=unconfined …",
)
DOCKER = Runtime(
    "Docker",
    "docker run --device PATH …",
    "docker run --device PATH --group-add GID …",
    "docker run --security-opt seccomp=unconfined …",
)
LXC = Runtime(
    "LXC",
    "lxc config device add CONTAINER device unix-char path=PATH (Incus: incus config …)",
    "lxc config device add CONTAINER device unix-char path=PATH gid=GID (Incus: incus config …)",
    "lxc config set CONTAINER security.syscalls.deny_default false (Incus: incus config …)",
)
NSPAWN = Runtime(
    "systemd-nspawn",
    "systemd-nspawn --bind=PATH --property='DeviceAllow=PATH rw' …",
    "systemd-nspawn --bind=PATH --property='DeviceAllow=PATH rw' …, and in it join group GID",
    "systemd-nspawn --system-call-filter=@known …",
)
OTHER = Runtime(
    "a container runtime",
    "start the container with the device PATH (docker run --device PATH; in Kubernetes: privileged: true)",
    "start the container with the supplementary group GID (docker run --group-add GID)",
    "docker run --security-opt seccomp=unconfined …; in Kubernetes, seccompProfile: {type: Unconfined}",
)

_BY_WORD = {
    "podman": PODMAN,
    "docker": DOCKER,
    "lxc": LXC,
    "lxc-libvirt": LXC,
    "systemd-nspawn": NSPAWN,
}
"""By what ``container=`` and the files of systemd say."""

_BY_CGROUP = (
    (re.compile(r"/kubepods"), KUBERNETES),
    (re.compile(r"/libpod-|/libpod_"), PODMAN),
    (re.compile(r"/docker[-/]"), DOCKER),
    (re.compile(r"/lxc(\.payload)?[./]"), LXC),
    (re.compile(r"/systemd-nspawn@"), NSPAWN),
)

_SYSTEM_SERVICE = re.compile(r":(?:/[^/:\n]+)*?/([\w@.:\\-]+\.service)(?:/|$)", re.ASCII | re.MULTILINE)


def identify(environment: str, cgroups: str, files: dict[str, str]) -> Runtime | None:
    """Names what started this process, None where nothing tells of a container or a service.

    Args:
        environment: ``/proc/self/environ``.
        cgroups: ``/proc/self/cgroup`` (cgroups(7)).
        files: Those of `FILES` that are there, with their contents; none where no namespace is of our own.
    """
    variables = dict(part.partition("=")[::2] for part in environment.split("\0"))
    if "KUBERNETES_SERVICE_HOST" in variables or "/kubepods" in cgroups:
        return KUBERNETES
    if "run/.containerenv" in files:
        return PODMAN
    if ".dockerenv" in files:
        return DOCKER
    for word in (
        variables.get("container", ""),
        files.get("run/systemd/container", ""),
        files.get("run/host/container-manager", ""),
    ):
        if word.strip():
            return _BY_WORD.get(word.strip(), OTHER)
    for pattern, runtime in _BY_CGROUP:
        if pattern.search(cgroups):
            return runtime
    return _service(cgroups)


def _service(cgroups: str) -> Runtime | None:
    """The system service that this process is a part of (systemd.exec(5), systemd.resource-control(5))."""
    if "/user.slice" in cgroups:
        return None
    found = _SYSTEM_SERVICE.search(cgroups)
    if found is None:
        return None
    unit = found[1]
    setting = f"systemctl edit {unit}, there under [Service]:"
    return Runtime(
        f"systemd ({unit})",
        f"systemctl set-property {unit} 'DeviceAllow=PATH rw'; where PrivateDevices=yes is set, {setting} "
        f"PrivateDevices=no; then: systemctl restart {unit}",
        f"{setting} SupplementaryGroups=GID; then: systemctl restart {unit}",
        f"{setting} SystemCallFilter= (empty); then: systemctl restart {unit}",
    )
