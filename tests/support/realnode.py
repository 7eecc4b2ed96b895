"""A real node on this machine: containerd, runc, CNI and a kubelet in a machine of its own (machine.py).

It has its own /dev, /run, /var/lib and /var/log, its own network and processes; the kernel, its cgroups and
the rest of the file system are this machine's.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cgroups
import nodeconfiguration
import offspring
import waiting
from certificates import Authority
from kubectl import Kubectl, write_kubeconfig
from machine import Machine, MachineError

READY_SECONDS = 120.0
WEIGHT = 16
"""All pods of a cluster share one cgroup: beside tests that run at the same time they would hardly get on."""
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet sets for a whole machine (pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables).

It is shown files that say so already. In exchange pods with user namespaces of their own do not start: the
kernel mounts no fresh /proc over one that has mounts below."""


@dataclass(frozen=True, slots=True)
class Site:
    """What all nodes of a cluster share.

    Attributes:
        name: Name of the cluster's cgroup.
        directory: The cluster's state.
        programs: Directory of programs; CNI's are in `cni` below it.
        authority: Signs the kubelets' certificates.
        control_plane: The machine to be wired to.
        kubectl: The administrator's.
    """

    name: str
    directory: Path
    programs: Path
    authority: Authority
    control_plane: Machine
    kubectl: Kubectl


class Node:
    """One node, which can be stopped suddenly and started again.

    Attributes:
        name: Its name in the cluster.
        machine: The machine that it is.
    """

    def __init__(self, site: Site, number: int) -> None:
        """Describes a node; nothing is started yet.

        Args:
            site: The cluster.
            number: 1 to 99; addresses are made from it.
        """
        self.name = f"n{number}"
        self._site, self._number = site, number
        self._directory = site.directory / self.name
        self._imported: set[Path] = set()
        self._kubelet = site.programs / "kubelet"
        self._kubelet_began = 0.0
        self.machine = Machine(
            self.name,
            self._directory / "logs",
            self._plan(),
            path=f"{site.programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )

    @property
    def address(self) -> str:
        """Its address in the network of nodes."""
        return nodeconfiguration.address(self._number)

    def start(self, images: list[Path]) -> None:
        """Starts the node and waits until it is Ready.

        Args:
            images: Archives of images to import.

        Raises:
            AssertionError: It was not ready in time.
            MachineError: Something in it failed.
        """
        self.begin()
        self.import_images(images)
        self.start_kubelet()
        self.wait_ready()

    def begin(self) -> None:
        """Switches the machine on, wires it, and starts containerd."""
        if not (self._directory / "kubeconfig").exists():
            self._write_files()
        cgroups.make(f"{self._site.name}/{self.name}", weight=WEIGHT)
        self.machine.on()
        pods, plane = nodeconfiguration.pods(self._number), self._site.control_plane
        self.machine.ip(
            f"link add eth0 type veth peer name {self.name} netns {plane.pid}",
            f"address add {self.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {nodeconfiguration.API_ADDRESS}",
        )
        plane.ip(
            f"link set {self.name} master br0 up",
            f"route replace {pods} via {self.address}",
        )
        configuration = self._directory / "containerd.toml"
        self.machine.start("containerd", ["containerd", "--config", configuration, "--log-level", "warn"])

    def import_images(self, images: list[Path]) -> None:
        """Waits for containerd, and imports those of the archives that it has not got yet."""
        waiting.until(self._containerd_answers, f"containerd of {self.name} answers", seconds=READY_SECONDS)
        for image in images:
            if image not in self._imported:
                self.machine.run(["ctr", "--namespace", "k8s.io", "images", "import", image])
                self._imported.add(image)

    def start_kubelet(self) -> None:
        """Starts the kubelet alone."""
        self._kubelet_began = time.time()
        self.machine.start(
            "kubelet",
            [
                self._kubelet,
                f"--config={self._directory / 'kubelet.json'}",
                f"--kubeconfig={self._directory / 'kubeconfig'}",
                f"--hostname-override={self.name}",
                f"--node-ip={self.address}",
                "-v=2",
            ],
        )

    def stop_kubelet(self) -> None:
        """Ends the kubelet alone; the pods go on."""
        self.machine.end("kubelet")

    def use_kubelet(self, program: Path) -> None:
        """Goes over to another kubelet, as an upgrade does, and waits until the node is Ready again."""
        self.stop_kubelet()
        self._kubelet = program
        self.start_kubelet()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Waits until the kubelet that runs now has said that the node is ready.

        A node that was stopped goes on being called Ready for 40 s.

        Raises:
            AssertionError: It was not in time; the message has the tail of the kubelet's log.
        """
        try:
            waiting.until(self._is_ready, f"node {self.name} is Ready", seconds=READY_SECONDS)
        except AssertionError as error:
            said = offspring.tail(self.machine.directory / "kubelet.log")
            raise AssertionError(f"{error}; its kubelet said:\n{said}") from None

    def stop(self) -> None:
        """Switches the node off as a power cut does; its disk stays."""
        if self.machine.pid:
            with contextlib.suppress(MachineError):  # not wired yet
                # the kernel would take it away later, perhaps after the node is back and wired anew
                self._site.control_plane.ip(f"link delete {self.name}")
        self.machine.off()

    def run(self, arguments: list[str]) -> str:
        """Runs a command on the node, and returns what it printed."""
        return self.machine.run(arguments)

    def hide_kvm(self) -> None:
        """Takes /dev/kvm away from this node."""
        self.run(["rm", "-f", "/dev/kvm"])

    def show_kvm(self) -> None:
        """Gives /dev/kvm back."""
        status = Path("/dev/kvm").stat()
        number = [str(os.major(status.st_rdev)), str(os.minor(status.st_rdev))]
        self.run(["mknod", f"--mode={status.st_mode & 0o777:o}", "/dev/kvm", "c", *number])

    def _containerd_answers(self) -> bool:
        self.machine.look_after("containerd")
        try:
            self.machine.run(["ctr", "version"])
        except MachineError:  # no socket yet
            return False
        return True

    def _is_ready(self) -> bool:
        self.machine.look_after("kubelet")
        node = self._site.kubectl.get("node", self.name, "--ignore-not-found")
        conditions = node.get("status", {}).get("conditions", [])
        return any(ready_since(condition, self._kubelet_began) for condition in conditions)

    def _plan(self) -> dict[str, Any]:
        here = self._directory
        binds = {"/var/lib": str(here / "lib"), "/var/log": str(here / "log")}
        sysctls = {f"/proc/sys/{name}": str(here / "sysctl" / Path(name).name) for name in SYSCTLS}
        return {
            "devices": str(here / "staging"),
            "sysfs": str(here / "staging"),
            "binds": {**binds, **sysctls},
            "tmpfs": ["/run"],
            "shared": True,
        }

    def _write_files(self) -> None:
        here, site = self._directory, self._site
        for name in ("lib/kubelet", "lib/containerd", "lib/cni", "log", "cni", "sysctl", "staging"):
            (here / name).mkdir(parents=True, exist_ok=True)
        for name, value in SYSCTLS.items():
            (here / "sysctl" / Path(name).name).write_text(f"{value}\n")
        user = f"/O=system:nodes/CN=system:node:{self.name}"
        serving = site.authority.sign(
            f"{self.name}-serving", user, serves=f"IP:{self.address},DNS:{self.name}"
        )
        certificate, key = site.authority.sign(self.name, user)
        (here / "cni" / "10-pods.conflist").write_text(json.dumps(nodeconfiguration.network(self._number)))
        (here / "containerd.toml").write_text(nodeconfiguration.containerd(site.programs, here / "cni"))
        configuration = nodeconfiguration.kubelet(
            cgroup=f"/{site.name}/{self.name}",
            address=self.address,
            authority=site.authority.certificate,
            serving=serving,
        )
        (here / "kubelet.json").write_text(json.dumps(configuration, indent=1))
        write_kubeconfig(
            here / "kubeconfig",
            server=f"https://{nodeconfiguration.API_ADDRESS}",
            authority=site.authority.certificate,
            user={"client-certificate": str(certificate), "client-key": str(key)},
        )


def ready_since(condition: Mapping[str, str], began: float) -> bool:
    """Whether a Node's condition says that it is ready, and was written since then (seconds of the epoch)."""
    if condition["type"] != "Ready" or condition["status"] != "True":
        return False
    return datetime.fromisoformat(condition["lastHeartbeatTime"]).timestamp() >= int(began)
