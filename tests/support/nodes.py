"""A node for a control plane that has none: the agent's real processes, where a kubelet would run its pod."""

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import offspring
from controlplane import LOOPBACK, ControlPlane, ControlPlaneError, free_ports

NAMESPACE = "vm-system"
SELECTOR = "app.kubernetes.io%2Fcomponent%3Dagent"
LOOK_SECONDS = 0.2

Object = dict[str, Any]
"""An object of the API server, as JSON decodes it."""


class StandInKubelet:
    """Registers one Node, and does for the agent's pod on it what these would do:

    * the scheduler: binds the pod that kube-controller-manager made for this node;
    * the kubelet: gives the pod a real token of its own (bound to it, so that it names the node), restarts
      containers that end, asks the agent's `/readyz`, reports the pod's state, ends it when it is deleted;
    * the container runtime: starts the containers' own arguments as processes of this machine, with paths
      below a mount replaced by what is mounted and the port by a free one. No image, no namespaces, no
      security context: the processes have this user's rights.

    The `/proc`, `/sys` and `/dev` that the probe sees are this machine's, or those of another host root.

    Attributes:
        name: The node's name.
        directory: Logs (`probe.log`, `agent.log`), socket and kubeconfig.
        agent_url: Where the agent serves, while its pod is there.
    """

    def __init__(
        self,
        plane: ControlPlane,
        name: str,
        *,
        host_root: str | Path = "/",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing is made yet.

        Args:
            plane: The control plane, with kube-controller-manager.
            name: The node's name.
            host_root: What the pod's `hostPath` mount of `/` shows.
            labels: Further labels of the Node.
        """
        self.name = name
        self.directory = plane.directory / "nodes" / name
        self.agent_url = ""
        self._plane = plane
        self._host_root = str(host_root)
        self._labels = dict(labels or {})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: dict[str, int] = {}
        self._pod: Object | None = None
        self._told: Object | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"kubelet-{name}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Registers the Node, ready, and begins to look after its pod.

        Raises:
            ControlPlaneError: The API server refused the Node.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": self.name, **self._labels}
        self._ask("POST", "/api/v1/nodes", {"metadata": {"name": self.name, "labels": labels}})
        version = json.loads(self._plane.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
        now = _now()
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "stand-in kubelet is ready",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        status = {"conditions": [ready], "nodeInfo": {"kubeletVersion": version, "operatingSystem": "linux"}}
        self._ask("PATCH", f"/api/v1/nodes/{self.name}/status", {"status": status})
        self._thread.start()

    def stop(self) -> None:
        """Ends the pod's processes, and takes the Node and its pod out of the cluster."""
        self._stop.set()
        self._thread.join()
        try:
            self._ask("DELETE", f"/api/v1/nodes/{self.name}", allowed=(404,))
            if pod := self._own_pod():
                self._delete(pod)
        except OSError:  # the API server is gone, and the Node with it
            return

    def process(self, container: str) -> subprocess.Popen[bytes] | None:
        """The running process of a container (`probe` or `agent`), None while there is none."""
        return self._processes.get(container)

    def _live(self) -> None:
        try:
            while not self._stop.wait(LOOK_SECONDS):
                try:
                    self._look()
                except OSError:  # the API server is away: what runs goes on, as on a real node
                    continue
        finally:
            self._end()

    def _look(self) -> None:
        pod = self._own_pod()
        if self._pod is not None and (pod is None or _uid(pod) != _uid(self._pod)):
            self._end()  # taken away without grace
        if pod is None:
            return
        if "deletionTimestamp" in pod["metadata"]:
            self._end()
            self._delete(pod)
            return
        if not pod["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": self.name}
            path = f"{_path(pod)}/binding"
            self._ask(
                "POST",
                path,
                {"metadata": {"name": pod["metadata"]["name"]}, "target": target},
                allowed=(404, 409),
            )
            return
        if self._pod is None:
            try:
                self._begin(pod)
            except ControlPlaneError:
                now = self._own_pod()
                if now is not None and _uid(now) == _uid(pod):
                    raise
                return  # it was taken away meanwhile
        self._keep_running(pod)
        self._report(pod)

    def _own_pod(self) -> Object | None:
        """The agent's pod on this node, one that is not being deleted before one that is."""
        found = self._ask("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={SELECTOR}")["items"]
        own = [pod for pod in found if self.name == (pod["spec"].get("nodeName") or _meant_for(pod))]
        return min(own, key=lambda pod: "deletionTimestamp" not in pod["metadata"], default=None)

    def _begin(self, pod: Object) -> None:
        token = self._plane.token(pod["spec"]["serviceAccountName"], NAMESPACE, pod=pod["metadata"]["name"])
        self._kubeconfig = self._plane.kubeconfig_for_token(token, name=f"node-{self.name}")
        self._port = free_ports(1)[0]
        self.agent_url = f"http://{LOOPBACK}:{self._port}"
        self._restarts = {container["name"]: 0 for container in pod["spec"]["containers"]}
        self._pod, self._told = pod, None

    def _keep_running(self, pod: Object) -> None:
        for container in pod["spec"]["containers"]:
            name = container["name"]
            running = self._processes.get(name)
            if running is not None and running.poll() is None:
                continue
            if running is not None:
                self._restarts[name] += 1
            self._processes[name] = offspring.start(
                self._command(pod, container),
                log=self.directory / f"{name}.log",
                environment=self._environment(pod, container),
                directory=self.directory,
            )

    def _command(self, pod: Object, container: Object) -> list[str]:
        """The container's own arguments, as they work outside of a container."""
        sources = {
            volume["name"]: self._host_root
            if "hostPath" in volume
            else f"{self.directory}/volumes/{volume['name']}"
            for volume in pod["spec"]["volumes"]
        }
        mounts = {mount["mountPath"]: sources[mount["name"]] for mount in container["volumeMounts"]}
        arguments = []
        for argument in container["args"]:
            option, equals, value = argument.partition("=")
            if option == "--listen":
                value = f"{LOOPBACK}:{self._port}"
            for mount, source in mounts.items():
                if value == mount or value.startswith(f"{mount}/"):
                    Path(source).mkdir(parents=True, exist_ok=True)
                    value = source + value[len(mount) :]
                    break
            arguments.append(f"{option}{equals}{value}")
        if any("token" in mount["name"] for mount in container["volumeMounts"]):
            arguments.append(f"--kubeconfig={self._kubeconfig}")
        return [str(Path(sys.executable).with_name("vm-preflight")), *arguments]

    def _environment(self, pod: Object, container: Object) -> dict[str, str]:
        given = {
            one["name"]: one.get("value", pod["spec"]["nodeName"])  # the downward API's spec.nodeName
            for one in container.get("env", [])
        }
        return {"PATH": os.environ.get("PATH", os.defpath), **given}

    def _report(self, pod: Object) -> None:
        """Writes the pod's status when it changed."""
        running = {name: process.poll() is None for name, process in self._processes.items()}
        ready = all(running.values()) and self._agent_is_ready()
        state: Object = {"ready": ready, "restarts": dict(self._restarts)}
        if state == self._told:
            return
        now = _now()
        status = {
            "phase": "Running",
            "hostIP": LOOPBACK,
            "podIP": LOOPBACK,
            "startTime": pod["metadata"]["creationTimestamp"],
            "conditions": [
                {"type": kind, "status": str(held), "lastTransitionTime": now}
                for kind, held in (
                    ("PodScheduled", True),
                    ("Initialized", True),
                    ("ContainersReady", ready),
                    ("Ready", ready),
                )
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": ready,
                    "started": True,
                    "restartCount": self._restarts[container["name"]],
                    "state": {"running": {"startedAt": now}},
                }
                for container in pod["spec"]["containers"]
            ],
        }
        self._ask("PATCH", f"{_path(pod)}/status", {"status": status}, allowed=(404,))
        self._told = state

    def _agent_is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.agent_url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _end(self) -> None:
        """Ends the pod's processes as a kubelet does: SIGTERM to all, SIGKILL to what stays."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            offspring.end(process)
        self._processes = {}
        self._pod, self._told, self.agent_url = None, None, ""
        shutil.rmtree(self.directory / "volumes", ignore_errors=True)

    def _delete(self, pod: Object) -> None:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": _uid(pod)}}
        self._ask("DELETE", _path(pod), options, allowed=(404, 409))

    def _ask(
        self, method: str, path: str, body: Object | None = None, *, allowed: tuple[int, ...] = ()
    ) -> Object:
        status, answer = self._plane.request(method, path, body)
        if status >= 400 and status not in allowed:
            raise ControlPlaneError(f"{method} {path}: {status}: {answer.get('message')}")
        return answer


def _meant_for(pod: Object) -> str:
    """The node that a DaemonSet's pod is meant for: its controller says so by an affinity to the name."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    names = {
        value
        for term in required.get("nodeSelectorTerms", [])
        for field in term.get("matchFields", [])
        for value in field["values"]
    }
    return names.pop() if len(names) == 1 else ""


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}"


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
