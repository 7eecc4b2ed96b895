"""A controller on a real API server, with nodes that answer as agents would.

There is no kubelet and no scheduler: nodes are objects, their agents one thread that writes NodePreflights'
statuses. The controller runs with the rights that `deploy/` gives it.
"""

import json
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import waiting
from controlplane import ControlPlane

from cluster import kubeconfig, node_preflight, shapes
from cluster.backoff import Backoff
from cluster.informer import Informer
from cluster.node_preflight import NodePreflight, NodeStatus, RunRequest
from cluster.resources import (
    AGENT_NAME,
    CHECKS,
    CONTROLLER_NAME,
    DAEMON_SETS,
    NAMESPACE,
    NODE_PREFLIGHTS,
    NODES,
    PODS,
    SKIP_LABEL,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
    Resource,
)
from cluster.transport import ApiError, Client, Credentials
from controller import main
from controller.silence import Patience
from daemon.address import Address

MANIFEST = Path(__file__).parents[2] / "deploy" / "daemonset.yaml"
IMAGE = "registry.example/vm-preflight:test"
UNASKED = RunRequest(id="")
AGAIN_SECONDS = 0.2
"""After an answer that an API server did not take that is away, or has just started."""
Wire = Mapping[str, object]


class Agents:
    """Every node's agent: answers each run as it is told to.

    Attributes:
        failing: Nodes that fail.
        silent: Nodes that do not answer.
        mute: Nodes that do not answer one check: its name, with the node's.
        eager: Whether they tell of a node without being asked where its object is new, as real agents do.
        answered: Names of the checks that were answered, with the node, in order.
    """

    def __init__(self, client: Client) -> None:
        self.failing: set[str] = set()
        self.silent: set[str] = set()
        self.mute: set[tuple[str, str]] = set()
        self.eager = False
        self.answered: list[tuple[str, str]] = []
        self._client = client
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._informer: Informer[NodePreflight] = Informer(
            client,
            NODE_PREFLIGHTS,
            node_preflight.from_object,
            on_change=self._changed.set,
            backoff=Backoff(base=0.1, cap=1.0, random=random.random),
        )
        self._thread = threading.Thread(target=self._run, name="agents", daemon=True)

    def start(self) -> None:
        self._informer.start()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._changed.set()
        self._informer.stop()
        self._thread.join()

    def speak(self, *names: str) -> None:
        """Nodes that were silent answer from now on."""
        self.silent -= set(names)
        self.mute = {one for one in self.mute if one[1] not in names}
        self._changed.set()

    def _run(self) -> None:
        made: dict[str, int] = {}  # the versions of objects that answers made: the cache may show older ones
        while not self._stop.is_set():
            self._changed.wait()
            self._changed.clear()
            for preflight in self._informer.items().values():
                run = preflight.pending
                if self.eager and run is None and preflight.status is None and not preflight.skip:
                    run = UNASKED
                if run is None or preflight.name in self.silent or (run.check, preflight.name) in self.mute:
                    continue
                if int(preflight.resource_version) < made.get(preflight.uid, 0):
                    continue
                version = self._answer(preflight, run.id, run.check)
                if version is None:
                    self._stop.wait(AGAIN_SECONDS)
                    self._changed.set()
                else:
                    made[preflight.uid] = version

    def _answer(self, preflight: NodePreflight, run: str, check: str) -> int | None:
        """Answers, and returns the object's version then, None where the API server did not take it."""
        passed = preflight.name not in self.failing
        cpu: Wire = {
            "checkName": "CPU",
            "status": "Pass",
            "passed": True,
            "reason": "FlagPresent",
            "message": "vmx",
        }
        kvm: Wire = {
            "checkName": "KVM",
            "status": "Pass" if passed else "Fail",
            "passed": passed,
            "reason": "GuestRan" if passed else "DeviceMissing",
            "message": "a guest ran" if passed else "/dev/kvm: No such file or directory",
            **({} if passed else {"hint": "modprobe kvm"}),
        }
        now = datetime.now(UTC)
        status = NodeStatus(run, passed, "Hardware" if passed else "None", (cpu, kvm), now, now)
        try:
            path = NODE_PREFLIGHTS.path(preflight.name, subresource="status")
            answered = self._client.patch(path, {"status": status.to_dict()})
        except ApiError as error:
            # 403: it has not read its policies; 404: the node went, as the cache will show
            if error.status in (0, 403, 404, 409, 429) or error.status >= 500:
                return None
            raise
        self.answered.append((check, preflight.name))
        return int(shapes.text(answered, "metadata", "resourceVersion"))


class ControllerLab:
    """A cluster without nodes, and a controller that can be started, stopped and killed.

    Attributes:
        plane: The control plane, with `deploy/` installed.
        client: The administrator's client.
        agents: The nodes' agents.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.client = Client(kubeconfig.load(str(plane.kubeconfig)))
        self.agents = Agents(self.client)
        self._controller: tuple[threading.Thread, threading.Event] | None = None

    def __enter__(self) -> Self:
        self.clean()
        self.agents.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.agents.stop()
        self.clean()
        self.client.close()

    # the controller

    def credentials(self, server: str = "") -> Credentials:
        """Credentials of the controller's own service account; ``server`` is a proxy of the API server."""
        token = self.plane.token(CONTROLLER_NAME, NAMESPACE)
        return Credentials(
            server or self.plane.server,
            ca_file=str(self.plane.ca_file),
            authorization=lambda: f"Bearer {token}",
        )

    def start(
        self,
        *,
        client: Client | None = None,
        patience: Patience | None = None,
        manifest: Path = MANIFEST,
        leader_election: bool = False,
        port: int = 0,
    ) -> None:
        """Starts a controller in a thread."""
        stop = threading.Event()

        def work() -> None:
            main.run(
                client or Client(self.credentials()),
                namespace=NAMESPACE,
                agent_manifest=str(manifest),
                agent_image=IMAGE,
                listen=Address("127.0.0.1", port),
                leader_election=leader_election,
                stop=stop,
                patience=patience,
            )

        thread = threading.Thread(target=work, name="controller", daemon=True)
        thread.start()
        self._controller = (thread, stop)

    def stop(self) -> None:
        """Stops the controller as SIGTERM does."""
        if self._controller is not None:
            thread, stop = self._controller
            stop.set()
            thread.join(waiting.SECONDS)
            assert not thread.is_alive(), "the controller did not stop"
            self._controller = None

    # what people do

    def enable(self, *, enabled: bool = True, **spec: object) -> None:
        self.client.patch(VM_RUNTIMES.path(VM_RUNTIME_NAME), {"spec": {"enabled": enabled, **spec}})

    def ask(self, name: str) -> None:
        body = {"apiVersion": CHECKS.api_version, "kind": CHECKS.kind, "metadata": {"name": name}}
        self.client.create(CHECKS.path(namespace=NAMESPACE), body)

    def add_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        ready: bool = True,
        version: str = "v1.37.1",
    ) -> None:
        self.client.create(
            NODES.path(),
            {
                "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", **(labels or {})}},
            },
        )
        kubelet = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "reason": "KubeletReady" if ready else "KubeletNotReady",
            "message": "" if ready else "container runtime is down",
        }
        status = {"conditions": [kubelet], "nodeInfo": {"kubeletVersion": version}}
        self.client.patch(NODES.path(name, subresource="status"), {"status": status})

    def upgrade(self, name: str, version: str) -> None:
        """A node's kubelet is of another version from now on."""
        status = {"nodeInfo": {"kubeletVersion": version}}
        self.client.patch(NODES.path(name, subresource="status"), {"status": status})

    def label(self, name: str, *, skip: bool) -> None:
        labels = {SKIP_LABEL: "" if skip else None}
        self.client.patch(NODES.path(name), {"metadata": {"labels": labels}})

    def seen_skipped(self, *names: str) -> None:
        """Waits until the controller has seen that these nodes are skipped.

        It watches nodes apart from checks: one that is asked for at once may be seen before a label.
        """

        def seen() -> bool:
            skipped = shapes.words(self.status(), "lastActedOn", "skippedNodes")
            uids = {shapes.text(self.get(NODES, name), "metadata", "uid") for name in names}
            return uids <= set(skipped)

        self.until(seen, f"{', '.join(names)} is seen to be skipped")

    def delete(self, resource: Resource, name: str, *, namespace: str = "") -> None:
        """Deletes an object at once; one that is gone is no error."""
        try:
            self.client.delete(resource.path(name, namespace=namespace))
        except ApiError as error:
            if not error.not_found:
                raise

    # what people see

    def get(self, resource: Resource, name: str, *, namespace: str = "") -> Wire:
        """Returns an object, empty where there is none."""
        try:
            return self.client.get(resource.path(name, namespace=namespace))
        except ApiError as error:
            if error.not_found:
                return {}
            raise

    def names(self, resource: Resource, *, namespace: str = "") -> set[str]:
        found = self.client.list(resource.path(namespace=namespace))
        return {shapes.text(one, "metadata", "name") for one in shapes.items(found, "items")}

    def pods(self) -> Sequence[Wire]:
        """The agents' pods, as the controller manager makes them."""
        selector = {"labelSelector": "app.kubernetes.io/component=agent"}
        return shapes.items(self.client.list(PODS.path(namespace=NAMESPACE), params=selector), "items")

    def runtime(self) -> Wire:
        return self.get(VM_RUNTIMES, VM_RUNTIME_NAME)

    def status(self) -> Wire:
        return shapes.mapping(self.runtime(), "status")

    def summary(self) -> Wire:
        return shapes.mapping(self.status(), "preflightCheckSummary")

    def check(self, name: str) -> Wire:
        return shapes.mapping(self.get(CHECKS, name, namespace=NAMESPACE), "status")

    def checks(self) -> set[str]:
        return self.names(CHECKS, namespace=NAMESPACE)

    def daemon_set(self) -> Wire:
        return self.get(DAEMON_SETS, AGENT_NAME, namespace=NAMESPACE)

    def condition(self, kind: str, status: Wire | None = None) -> Wire:
        found = shapes.items(self.status() if status is None else status, "conditions")
        return next((one for one in found if shapes.text(one, "type") == kind), {})

    # waiting

    def until(self, look: Callable[[], object], what: str, *, seconds: float = waiting.SECONDS) -> None:
        """Waits until ``look`` is true, at most so many seconds.

        Raises:
            AssertionError: It did not become so in time; the message has the VMRuntime's status.
        """
        try:
            waiting.until(lambda: bool(look()) or None, what, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; VMRuntime: {json.dumps(self.runtime(), indent=1)}") from None

    def installed(self) -> None:
        """Waits for the singleton with a status."""
        self.until(lambda: self.status(), "the controller writes the VMRuntime's status")

    def verdict(
        self, *, passed: bool, other_than: Iterable[str] = (), seconds: float = waiting.SECONDS
    ) -> str:
        """Waits for the verdict of a check that is none of those named, and returns its name."""
        known = set(other_than)
        name = ""

        def there() -> bool:
            nonlocal name
            summary = self.summary()
            name = shapes.text(summary, "preflightCheckName")
            return name not in known and summary.get("preflightCheckPassed") is passed

        self.until(there, f"a verdict: {passed}", seconds=seconds)
        return name

    def clean(self) -> None:
        """Takes everything away that a test made."""
        for resource, namespace in (
            (VM_RUNTIMES, ""),
            (CHECKS, NAMESPACE),
            (DAEMON_SETS, NAMESPACE),
            (NODE_PREFLIGHTS, ""),
            (NODES, ""),
        ):
            for name in self.names(resource, namespace=namespace):
                self.delete(resource, name, namespace=namespace)
        for pod in self.pods():
            self.delete(PODS, shapes.text(pod, "metadata", "name"), namespace=NAMESPACE)
        self.until(lambda: not self.pods(), "the agents' pods are gone")
