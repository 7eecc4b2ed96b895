"""A real Kubernetes on this machine: control plane and nodes, each in a machine of its own (machine.py).

Nothing of this machine's network, sysctls or cgroups changes but for a cgroup of our own, which goes again,
and a port on loopback that leads to the API server. Run as a program it holds a cluster until Ctrl-C.
"""

import argparse
import contextlib
import fcntl
import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import cgroups
import machine
import nodeconfiguration
import ociarchive
import offspring
import toolchain
import waiting
from certificates import Authority
from controlplane import LOOPBACK, free_ports
from kubectl import Kubectl, KubectlError, write_kubeconfig
from machine import Machine
from nodeconfiguration import API_ADDRESS, SERVICE_ADDRESS, SERVICES
from realnode import Node, Site

PREFIX = "vm-preflight-cluster-"
"""Begins the name of each cluster's directory and of its cgroup."""
CNI = ("bridge", "host-local", "loopback")
NEEDS = {"ip": "iproute2", "nsenter": "util-linux", "unshare": "util-linux", "openssl": "openssl"}
"""Programs that are the machine's own, with their Debian packages."""
START_SECONDS = 120.0


def why_not() -> str:
    """What keeps this machine from having a cluster, with what would help; empty when nothing does."""
    if missing := sorted({package for program, package in NEEDS.items() if not shutil.which(program)}):
        return f"it needs programs that are not here: apt-get install {' '.join(missing)}"
    return machine.why_not()


def programs() -> dict[str, Path]:
    """What a cluster runs, by name, which is built first where it was not yet; any kubectl will do.

    Raises:
        toolchain.ToolMissingError: A program cannot be built.
    """
    names = [name for name in (*toolchain.CONTROL_PLANE, *toolchain.NODE) if name != "kubectl"]
    return {name: toolchain.built(name) for name in names} | {"kubectl": toolchain.find("kubectl")}


class RealCluster:
    """A cluster that starts on entering the context and leaves nothing behind on leaving it.

    Attributes:
        directory: State and logs.
        kubeconfig: The administrator's (group `system:masters`).
        kubectl: The administrator's.
        nodes: Its nodes by name.
    """

    def __init__(self, nodes: int = 1) -> None:
        """Finds or builds the programs; nothing is started yet.

        Args:
            nodes: How many nodes there are at first; they are called n1, n2, and so on.

        Raises:
            toolchain.ToolMissingError: A program cannot be built.
        """
        self._programs = programs()
        self._count = nodes
        self._images: list[Path] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self.nodes: dict[str, Node] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything, and returns once every node is Ready (about 10 s).

        Raises:
            AssertionError: A part was not ready in time.
            MachineError: A part failed; the message has the tail of its log.
        """
        self.directory, self._lock = _own_directory()
        self.kubeconfig = self.directory / "admin.kubeconfig"
        path = f"{self.directory / 'programs'}:/usr/sbin:/usr/bin:/sbin:/bin"
        self._control_plane = Machine("control-plane", self.directory / "control-plane", {}, path=path)
        try:
            self._link_programs()
            self._start_control_plane()
            self._pack_pause()
            self._begin_nodes()
            self._wait_for_service_account()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends everything and removes the cgroup and the state."""
        for node in self.nodes.values():
            node.stop()
        for process in self._processes:
            process.kill()
            process.wait()
        self._control_plane.off()
        _remove(self.directory)
        self._lock.close()

    def keep_logs(self, directory: Path) -> None:
        """Copies the logs of every part to a directory, which is made anew."""
        shutil.rmtree(directory, ignore_errors=True)
        for one in (self._control_plane, *(node.machine for node in self.nodes.values())):
            shutil.copytree(one.directory, directory / one.name)

    def node(self, name: str) -> Node:
        """One of its nodes."""
        return self.nodes[name]

    def add_node(self) -> Node:
        """Starts one more node, and returns it once it is Ready."""
        number = next(free for free in itertools.count(1) if f"n{free}" not in self.nodes)
        node = Node(self._site, number)
        self.nodes[node.name] = node
        node.start(self._images)
        return node

    def remove_node(self, name: str) -> None:
        """Takes a node out of the cluster in due order, and switches it off."""
        # the pods of a node that is gone stay for a minute (podgc), and their namespace with them
        self.kubectl("taint", "node", name, "leaving=:NoExecute")
        there = ("pods", "-A", f"--field-selector=spec.nodeName={name}")
        waiting.until(
            lambda: not self.kubectl.get(*there)["items"], f"{name} has no pods", seconds=START_SECONDS
        )
        self.kubectl("delete", "node", name)
        self.nodes.pop(name).stop()

    def start_node(self, name: str) -> None:
        """Starts a node again that was stopped."""
        self.nodes[name].start(self._images)

    def load_image(self, archive: Path, name: str) -> None:
        """Puts an image on every node, and on those that come later, as if it had been pulled.

        Args:
            archive: An archive of the OCI image layout, with one image.
            name: What pods call it.

        Raises:
            ValueError: It is no such archive.
            MachineError: A containerd refused it.
        """
        renamed = self.directory / "images" / f"{len(self._images)}.tar"
        renamed.parent.mkdir(exist_ok=True)
        ociarchive.rename(archive, name, renamed)
        self._images.append(renamed)
        for node in self.nodes.values():
            if node.machine.pid:
                node.import_images(self._images)

    def _link_programs(self) -> None:
        """Gathers the programs, which the cache keeps by version, in one directory for PATH."""
        programs = self.directory / "programs"
        (programs / "cni").mkdir(parents=True)
        for name, path in self._programs.items():
            (programs / "cni" / name if name in CNI else programs / name).symlink_to(path)

    def _start_control_plane(self) -> None:
        programs, logs = self.directory / "programs", self.directory / "control-plane"
        plane = self._control_plane
        authority = Authority(self.directory / "pki")
        names = "kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local"
        serves = [f"IP:{one}" for one in (LOOPBACK, API_ADDRESS, SERVICE_ADDRESS)]
        serving = authority.sign(
            "apiserver",
            "/CN=kube-apiserver",
            serves=",".join([*serves, *(f"DNS:{n}" for n in names.split())]),
        )
        to_kubelets = authority.sign("apiserver-kubelet", "/O=system:masters/CN=apiserver-kubelet")
        signing, verifying = authority.key_pair("service-accounts")
        plane.on()
        plane.ip(
            "link add br0 type bridge",
            f"address add {API_ADDRESS}/24 dev br0",
            "link set br0 up",
            f"address add {SERVICE_ADDRESS}/32 dev lo",
        )
        plane.start("etcd", _etcd(self.directory / "etcd"))
        plane.start("kube-apiserver", _apiserver(authority, serving, to_kubelets, signing, verifying))
        [port] = free_ports(1)
        relay: list[str | Path] = ["setsid", sys.executable, "-I", "-B", Path(__file__).with_name("relay.py")]
        self._processes.append(
            offspring.start([*relay, str(port), str(plane.pid), API_ADDRESS, "443"], log=logs / "relay.log")
        )
        self._write_kubeconfig("admin", "/O=system:masters/CN=admin", authority, f"https://{LOOPBACK}:{port}")
        self.kubectl = Kubectl(self._programs["kubectl"], self.kubeconfig, self.directory / "kubectl-cache")
        self._site = Site(self.directory.name, self.directory, programs, authority, plane, self.kubectl)
        waiting.until(self._api_ready, "the API server is ready", seconds=START_SECONDS)
        # before it is ready these two are refused things, and give up
        for name, more in (
            ("kube-controller-manager", _controller_manager(authority, signing, self.directory / "flex")),
            ("kube-scheduler", []),
        ):
            mine = self._write_kubeconfig(name, f"/CN=system:{name}", authority, f"https://{API_ADDRESS}")
            files = [f"--{kind}kubeconfig={mine}" for kind in ("", "authentication-", "authorization-")]
            plane.start(name, [name, *files, "--leader-elect=false", f"--bind-address={LOOPBACK}", *more])

    def _write_kubeconfig(self, name: str, subject: str, authority: Authority, server: str) -> Path:
        certificate, key = authority.sign(name, subject)
        path = self.directory / f"{name}.kubeconfig"
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        write_kubeconfig(path, server=server, authority=authority.certificate, user=user)
        return path

    def _pack_pause(self) -> None:
        archive = self.directory / "pause.tar"
        files = {"pause": self._programs["pause"].read_bytes()}
        ociarchive.write(archive, nodeconfiguration.PAUSE, files, ["/pause"])
        self._images.append(archive)

    def _begin_nodes(self) -> None:
        """Starts the first nodes, each step on all of them before the next."""
        first = [Node(self._site, number) for number in range(1, self._count + 1)]
        self.nodes = {node.name: node for node in first}
        for node in first:
            node.begin()
        for node in first:
            node.import_images(self._images)
            node.start_kubelet()
        for node in first:
            node.wait_ready()

    def _wait_for_service_account(self) -> None:
        """Until there is one, pods of its namespace are refused."""

        def there() -> bool:
            return bool(self.kubectl.get("serviceaccount", "default", "-n", "default", "--ignore-not-found"))

        waiting.until(there, "the default service account is there", seconds=START_SECONDS)

    def _api_ready(self) -> bool:
        for part in ("etcd", "kube-apiserver"):
            self._control_plane.look_after(part)
        try:
            return self.kubectl("get", "--raw", "/readyz") == "ok"
        except KubectlError:
            return False


def _etcd(data: Path) -> list[str]:
    client, peer = f"http://{LOOPBACK}:2379", f"http://{LOOPBACK}:2380"
    return [
        "etcd",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # the state does not outlive the cluster
        "--log-level=warn",
    ]


def _apiserver(
    authority: Authority,
    serving: tuple[Path, Path],
    to_kubelets: tuple[Path, Path],
    signing: Path,
    verifying: Path,
) -> list[str]:
    return [
        "kube-apiserver",
        f"--etcd-servers=http://{LOOPBACK}:2379",
        f"--advertise-address={API_ADDRESS}",
        "--secure-port=443",  # the Service's port: nothing translates it
        f"--tls-cert-file={serving[0]}",
        f"--tls-private-key-file={serving[1]}",
        f"--client-ca-file={authority.certificate}",
        f"--kubelet-client-certificate={to_kubelets[0]}",
        f"--kubelet-client-key={to_kubelets[1]}",
        f"--kubelet-certificate-authority={authority.certificate}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={signing}",
        f"--service-account-key-file={verifying}",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
    ]


def _controller_manager(authority: Authority, signing: Path, flex: Path) -> list[str]:
    return [
        "--use-service-account-credentials",
        f"--service-account-private-key-file={signing}",
        f"--root-ca-file={authority.certificate}",
        f"--flex-volume-plugin-dir={flex}",  # else it makes one under /usr/libexec
    ]


def _base() -> Path:
    return Path(tempfile.gettempdir())


def tidy() -> None:
    """Removes what runs that crashed have left."""
    with _alone():
        _remove_left_behind()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Nobody else makes a directory and locks it, or looks for ones that are not locked, meanwhile."""
    with (_base() / f"{PREFIX}lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def _own_directory() -> tuple[Path, IO[str]]:
    """Makes a directory for a cluster, locked while we live."""
    with _alone():
        _remove_left_behind()
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_base()))
        lock = (directory / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return directory, lock


def _remove_left_behind() -> None:
    for name in sorted(_left_behind()):
        _remove(_base() / name)


def _left_behind() -> Iterator[str]:
    """Names of clusters whose owner is gone, of which a directory or a cgroup is left."""
    directories = {path.name for path in _base().glob(f"{PREFIX}*") if path.is_dir()}
    for name in directories | cgroups.names(PREFIX):
        try:
            with (_base() / name / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except FileNotFoundError:
            pass  # it was being removed
        yield name


def _remove(directory: Path) -> None:
    cgroups.remove(directory.name)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)


def main() -> int:
    """Holds a cluster for a person until Ctrl-C."""
    parser = argparse.ArgumentParser(description="a real Kubernetes on this machine, until Ctrl-C")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--image", nargs=2, action="append", default=[], metavar=("ARCHIVE", "NAME"))
    given = parser.parse_args()
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    began = time.monotonic()
    with RealCluster(given.nodes) as cluster:
        for archive, name in given.image:
            cluster.load_image(Path(archive), name)
        print(f"{given.nodes} nodes are Ready after {time.monotonic() - began:.1f} s; Ctrl-C ends all")
        print(f"export KUBECONFIG={cluster.kubeconfig}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
