"""A real control plane on loopback: etcd, kube-apiserver and, where asked for, kube-controller-manager.

No kubelet, no scheduler, no root, no openssl: kube-apiserver makes its own serving key and certificate, which
also sign and verify the tokens of service accounts. Each control plane has its own ports and state directory.
"""

import contextlib
import csv
import http.client
import json
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import offspring
import toolchain
import waiting
from kubectl import Kubectl, write_kubeconfig

from cluster import shapes

DEPLOY = Path(__file__).parents[2] / "deploy"
VIRTUAL_MACHINE_KINDS = Path(__file__).parent / "manifests" / "virtual-machines.yaml"
"""CRDs of every kind of virtual machine that the gate and the switch know."""
START_SECONDS = 60.0
RETRY_SECONDS = 1.0
CONTROLLERS = (
    "clusterrole-aggregation",
    "daemonset",
    "deployment",
    "garbage-collector",
    "namespace",
    "node-lifecycle",
    "pod-garbage-collector",
    "replicaset",
    "root-ca-certificate-publisher",
    "serviceaccount",
    "taint-eviction",
    "validatingadmissionpolicy-status",
)
"""What runs of kube-controller-manager: all that an installation rests on; the rest doubles the start."""
LOOPBACK = "127.0.0.1"


class ControlPlaneError(Exception):
    """A part did not start, or kubectl failed; the message has what it said."""


class ControlPlane:
    """A control plane that starts on entering the context and leaves nothing behind on leaving it.

    Attributes:
        directory: State, logs and kubeconfigs.
        server: The API server's URL.
        kubeconfig: The administrator's kubeconfig (group `system:masters`, so RBAC lets everything).
        ca_file: What verifies the API server.
    """

    def __init__(self, *, controller_manager: bool = False, directory: Path | None = None) -> None:
        """Finds the programs; nothing is started yet.

        Args:
            controller_manager: Whether kube-controller-manager runs too. Without it no ServiceAccount is made
                for a namespace, so the ServiceAccount admission plug-in is off.
            directory: Where state is kept, made when missing and kept afterwards; a temporary one when None.

        Raises:
            toolchain.ToolMissingError: A program is not there and cannot be built.
        """
        self._programs = {
            name: toolchain.find(name)
            for name in toolchain.CONTROL_PLANE
            if controller_manager or name != "kube-controller-manager"
        }
        self._given = directory
        self._controller_manager = controller_manager
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = secrets.token_hex(16)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything and returns once the API server is ready (about 3 s).

        Raises:
            ControlPlaneError: A part ended or was not ready in time; the message has the tail of its log.
        """
        self.directory = self._given or Path(tempfile.mkdtemp(prefix="vm-preflight-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self._etcd_port, self._peer_port, self._port = free_ports(3)
        self.server = f"https://{LOOPBACK}:{self._port}"
        self.ca_file = self.directory / "pki" / "apiserver.crt"
        with (self.directory / "tokens.csv").open("w", newline="") as file:
            csv.writer(file).writerow([self._token, "admin", "admin", "system:masters"])
        try:
            self._start_etcd()
            self.start_apiserver()
            self.kubeconfig = self.kubeconfig_for_token(self._token, name="admin")
            if self._controller_manager:
                self._start_controller_manager()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends every process and removes a temporary state directory."""
        for name in reversed(list(self._processes)):  # killed: ending with grace takes them seconds
            self._kill(name)
        if self._given is None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def start_apiserver(self) -> None:
        """Starts the API server, on the same port as before, and waits until it is ready.

        Raises:
            ControlPlaneError: It ended or was not ready in time.
        """
        key = self.directory / "pki" / "apiserver.key"
        self._start(
            "kube-apiserver",
            f"--etcd-servers=http://{LOOPBACK}:{self._etcd_port}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            "--endpoint-reconciler-type=none",  # the others refuse an advertise address on loopback
            f"--secure-port={self._port}",
            f"--cert-dir={self.directory / 'pki'}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            # made by kube-apiserver itself, before it reads these, when it starts for the first time
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            *([] if self._controller_manager else ["--disable-admission-plugins=ServiceAccount"]),
        )
        self._wait("kube-apiserver", self._ready)

    def stop_apiserver(self) -> None:
        """Ends the API server alone, at once, as a crash would."""
        self._kill("kube-apiserver")

    def restart_etcd(self) -> None:
        """Ends etcd alone, at once, as a crash would, and starts it again on the same port and data.

        Raises:
            ControlPlaneError: The API server was not ready with it in time.
        """
        self._kill("etcd")
        self._start_etcd()
        self._wait("kube-apiserver", self._ready)

    @contextlib.contextmanager
    def etcd_stopped(self) -> Iterator[None]:
        """Stops etcd, as a disk does that does not answer, and lets it go on afterwards."""
        self._processes["etcd"].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._processes["etcd"].send_signal(signal.SIGCONT)
            self._wait("kube-apiserver", self._ready)

    def kubectl(
        self, *arguments: str | Path, stdin: str | None = None, kubeconfig: Path | None = None
    ) -> str:
        """Runs kubectl as the administrator and returns what it printed.

        Args:
            arguments: kubectl's arguments.
            stdin: What it reads, for `-f -`.
            kubeconfig: Another user's kubeconfig.

        Raises:
            ControlPlaneError: It failed; the message has its standard error.
        """
        done = self.run_kubectl(*arguments, stdin=stdin, kubeconfig=kubeconfig)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise ControlPlaneError(f"kubectl {' '.join(map(str, arguments))}: {said}")
        return done.stdout

    def run_kubectl(
        self, *arguments: str | Path, stdin: str | None = None, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as `kubectl` does; returns its exit status and all that it printed, warnings too."""
        user, cache = kubeconfig or self.kubeconfig, self.directory / "kubectl-cache"
        return Kubectl(self._programs["kubectl"], user, cache).run(*arguments, stdin=stdin)

    def get_json(self, *arguments: str) -> dict[str, object]:
        """Runs `kubectl get ... -o json`.

        Raises:
            ControlPlaneError: It failed; the message has its standard error.
        """
        return _object(self.kubectl("get", *arguments, "-o", "json"))

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        token: str | None = None,
    ) -> tuple[int, dict[str, object]]:
        """Sends one request, and returns the answer's status and object.

        It is repeated where the API server says that it cannot answer yet, as client-go does: 429, while it
        fills its cache of a kind that was just installed.

        Args:
            method: HTTP method.
            path: Path with query.
            body: Object to send; that of a PATCH is a merge patch.
            token: Another user's token, empty for nobody's; the administrator's when None.

        Raises:
            OSError: The API server does not answer.
        """
        token = self._token if token is None else token
        end = time.monotonic() + START_SECONDS
        while True:
            status, answer = self._request(method, path, body, token)
            if status != 429 or time.monotonic() > end:
                return status, answer
            time.sleep(RETRY_SECONDS)  # as it asks for, in Retry-After

    def _request(
        self, method: str, path: str, body: Mapping[str, object] | None, token: str
    ) -> tuple[int, dict[str, object]]:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = http.client.HTTPSConnection(LOOPBACK, self._port, timeout=60, context=context)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, _object(answer.read().decode())
        finally:
            connection.close()

    def token(self, service_account: str, namespace: str, *, pod: str | None = None) -> str:
        """Makes a token of a service account; bound to a pod it also names the pod's node.

        Args:
            service_account: Its name.
            namespace: Its namespace, and the pod's.
            pod: Name of a pod that runs under it.

        Raises:
            ControlPlaneError: The API server refused.
        """
        spec: dict[str, object] = {}
        if pod is not None:
            status, found = self.request("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}")
            metadata = found.get("metadata")
            if status != 200 or not isinstance(metadata, dict):
                raise ControlPlaneError(f"pod {namespace}/{pod}: {found.get('message')}")
            spec = {
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": metadata.get("uid")}
            }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        code, answer = self.request("POST", path, request)
        made = answer.get("status")
        if code != 201 or not isinstance(made, dict):
            raise ControlPlaneError(f"token of {namespace}/{service_account}: {answer.get('message')}")
        return str(made["token"])

    def kubeconfig_for_token(self, token: str, *, name: str | None = None, server: str = "") -> Path:
        """Writes a kubeconfig for whoever has this token.

        Args:
            token: The bearer token.
            name: The file's name without its ending; a random one when None.
            server: Another URL than the API server's own, such as a proxy's.
        """
        path = self.directory / f"{name or secrets.token_hex(8)}.kubeconfig"
        write_kubeconfig(path, server=server or self.server, authority=self.ca_file, user={"token": token})
        return path

    def apply_deploy(self) -> str:
        """Installs `deploy/` as a user does, and returns what kubectl printed.

        Waits for its CRDs, and for what kube-controller-manager makes in each new namespace.

        Raises:
            ControlPlaneError: Something was refused.
            AssertionError: They do not come.
        """
        said = self.kubectl("apply", "-k", DEPLOY)
        self._wait_established("crd", "-l", "app.kubernetes.io/name=vm-preflight")
        if self._controller_manager:
            waiting.until(lambda: self._has_service_account("vm-system"), "the namespace's ServiceAccount")
        return said

    def apply_kinds(self, file: Path = VIRTUAL_MACHINE_KINDS) -> None:
        """Makes kinds known: those of virtual machine, as an installed KubeVirt or GDC does, or others.

        Args:
            file: Their CRDs.

        Raises:
            ControlPlaneError: Something was refused.
        """
        self.kubectl("apply", "-f", file)
        self._wait_established("-f", str(file))

    def remove_kinds(self, file: Path = VIRTUAL_MACHINE_KINDS) -> None:
        """Makes kinds unknown again, with every object of them that is left.

        Looked for anew each time: kubectl's own waiting, by a watch, was seen to hang for two minutes.

        Args:
            file: Their CRDs.

        Raises:
            ControlPlaneError: Something was refused.
            AssertionError: They are still there.
        """
        self.kubectl("delete", "-f", file, "--wait=false")
        find = ("get", "-f", file, "--ignore-not-found", "-o", "name")
        waiting.until(lambda: self.kubectl(*find) == "", f"the kinds of {file} are gone")

    def wait_for_node(self, name: str) -> None:
        """Waits until kube-controller-manager has done with a new Node that is ready what it does once.

        It takes away the taint that the API server gave it, and adds the former label of the operating system
        (pkg/controller/nodelifecycle/node_lifecycle_controller.go).

        Raises:
            AssertionError: It does not.
        """

        def done() -> bool:
            _, node = self.request("GET", f"/api/v1/nodes/{name}")
            tainted = shapes.items(node, "spec", "taints")
            return not tainted and "beta.kubernetes.io/os" in shapes.mapping(node, "metadata", "labels")

        waiting.until(done, f"kube-controller-manager has done with Node {name}")

    def _wait_established(self, *which: str) -> None:
        """Waits until kinds are served, and until discovery, where kubectl looks for them, names them."""

        def established() -> bool:
            found = self.get_json(*which)
            return all(map(self._is_established, shapes.items(found, "items") or [found]))

        waiting.until(established, f"the kinds of {' '.join(which)} are established")

    def _is_established(self, definition: object) -> bool:
        conditions = shapes.items(definition, "status", "conditions")
        if ("Established", "True") not in {
            (shapes.text(one, "type"), shapes.text(one, "status")) for one in conditions
        }:
            return False
        group, plural = (
            shapes.text(definition, "spec", "group"),
            shapes.text(definition, "spec", "names", "plural"),
        )
        served = [one for one in shapes.items(definition, "spec", "versions") if shapes.flag(one, "served")]
        told = [self.request("GET", f"/apis/{group}/{shapes.text(one, 'name')}")[1] for one in served]
        named = [{shapes.text(kind, "name") for kind in shapes.items(one, "resources")} for one in told]
        return all(plural in names for names in named)

    def _start_etcd(self) -> None:
        client, peer = (f"http://{LOOPBACK}:{port}" for port in (self._etcd_port, self._peer_port))
        self._start(
            "etcd",
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # the state does not outlive the test session
            "--log-level=warn",
        )

    def _start_controller_manager(self) -> None:
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={self.directory / 'pki' / 'apiserver.key'}",
            f"--root-ca-file={self.ca_file}",
            f"--controllers={','.join(f'{name}-controller' for name in CONTROLLERS)}",
            "--leader-elect=false",
            "--kube-api-qps=500",  # with 20 the garbage collector takes half a minute for 500 objects
            "--kube-api-burst=500",
            "--secure-port=0",
            "--node-monitor-grace-period=24h",  # no kubelet renews leases: a node stays as it was told to be
            f"--flex-volume-plugin-dir={self.directory / 'flex'}",  # else it makes one under /usr/libexec
        )
        self._wait("kube-controller-manager", lambda: self._has_service_account("default"))

    def _start(self, name: str, *arguments: str) -> None:
        self._processes[name] = offspring.start(
            [self._programs[name], *arguments], log=self.directory / f"{name}.log", directory=self.directory
        )

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + START_SECONDS
        while not ready():
            for part, process in self._processes.items():
                if (status := process.poll()) is not None:
                    raise ControlPlaneError(f"{part} ended with {status}:\n{self._log(part)}")
            if time.monotonic() > until:
                raise ControlPlaneError(
                    f"{name} is not ready after {START_SECONDS:.0f} s:\n{self._log(name)}"
                )
            time.sleep(0.05)

    def _log(self, name: str) -> str:
        return offspring.tail(self.directory / f"{name}.log")

    def _ready(self) -> bool:
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:  # not listening yet, or no certificate yet
            return False

    def _has_service_account(self, namespace: str) -> bool:
        return self.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")[0] == 200


def free_ports(count: int) -> list[int]:
    """Free ports, each different, kept for whoever is told to listen on them, again and again.

    A socket that is bound and does not listen keeps a port from everybody who asks for any, and from no
    server that names it: both have SO_REUSEADDR (net/ipv4/inet_connection_sock.c, inet_bind_conflict).
    """
    places = [socket.socket() for _ in range(count)]
    for one in places:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((LOOPBACK, 0))
    _places.extend(places)
    return [one.getsockname()[1] for one in places]


_places: list[socket.socket] = []
"""Kept to the end of the process."""


def _object(text: str) -> dict[str, object]:
    """An object's JSON; `/readyz` and its like answer in plain text, which becomes a message."""
    try:
        decoded = json.loads(text)
    except ValueError:
        decoded = {"message": text}
    return decoded if isinstance(decoded, dict) else {"message": text}
