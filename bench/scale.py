"""What the controller costs in a large cluster; prints a table.

Usage: PYTHONPATH=tests/support scale.py [NODES]. The real controller, as a process, on a real kube-apiserver
with etcd and kube-controller-manager. Nodes are objects; their agents are a few threads that answer each run
with the report that `vm-preflight run` gives on this machine. All of it shares this machine's CPUs.
"""

import contextlib
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import controllerprocess
import offspring
import waiting
from controllerprocess import PROGRAM
from controlplane import ControlPlane

from cluster import kubeconfig, node_preflight, shapes
from cluster.backoff import Backoff
from cluster.informer import Informer
from cluster.node_preflight import NodePreflight, NodeStatus
from cluster.resources import (
    AGENT_NAME,
    CHECKS,
    DAEMON_SETS,
    NAMESPACE,
    NODE_PREFLIGHTS,
    NODES,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
)
from cluster.transport import Client

WIDTH = 8
"""Threads that do what thousands of nodes do."""
IDLE_SECONDS = 60
PATIENCE = 900.0
"""Seconds that anything is waited for."""
OURS = {"nodepreflights", "vmruntimes", "vmruntimepreflightchecks"}
"""Kinds that nobody else writes; Events and the DaemonSet are written by kube-controller-manager too."""
WRITES = re.compile(r"apiserver_request_total\{([^}]*)\} ([0-9.e+]+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
Results = Sequence[Mapping[str, object]]


class Fleet:
    """The agents of all nodes.

    Attributes:
        answered: How many runs were answered.
    """

    def __init__(self, client: Client, results: Results) -> None:
        self.answered = 0
        self._client = client
        self._results = tuple(results)
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._done: set[tuple[str, str]] = set()
        self._pool = ThreadPoolExecutor(WIDTH)
        self._informer: Informer[NodePreflight] = Informer(
            client,
            NODE_PREFLIGHTS,
            node_preflight.from_object,
            on_change=self._changed.set,
            backoff=Backoff(base=0.1, cap=1.0, random=random.random),
        )
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Answers from now on."""
        self._informer.start()
        self._thread.start()

    def stop(self) -> None:
        """Answers no more."""
        self._ended.set()
        self._changed.set()
        self._informer.stop()
        self._thread.join()
        self._pool.shutdown()

    def _work(self) -> None:
        while not self._ended.is_set():
            self._changed.wait()
            self._changed.clear()
            due = []
            for one in self._informer.items().values():
                if one.pending is not None and (one.uid, one.pending.id) not in self._done:
                    self._done.add((one.uid, one.pending.id))
                    due.append((one.name, one.pending.id))
            for _ in self._pool.map(self._answer, due):
                self.answered += 1

    def _answer(self, asked: tuple[str, str]) -> None:
        name, run = asked
        now, passed = datetime.now(UTC), True
        status = NodeStatus(run, passed, "Hardware", self._results, now, now, "boot", "6.12.0", "0.1.0")
        path = NODE_PREFLIGHTS.path(name, subresource="status")
        self._client.patch(path, {"status": status.to_dict()})


class Cluster:
    """The control plane, the nodes, the controller, and what is read of them."""

    def __init__(self, plane: ControlPlane, client: Client, directory: Path, nodes: int) -> None:
        self.nodes = nodes
        self._plane = plane
        self._client = client
        self.controller = controllerprocess.start(
            plane,
            "--no-leader-election",  # a machine too small for so many nodes is no reason to end
            log=directory / "controller.log",
        )

    def add_nodes(self) -> None:
        """Makes all nodes, ready."""

        def add(number: int) -> None:
            name = f"node-{number:05}.example.internal"
            labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name}
            self._client.create(NODES.path(), {"kind": "Node", "metadata": {"name": name, "labels": labels}})
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
            status = {"conditions": [ready], "nodeInfo": {"kubeletVersion": "v1.37.1"}}
            self._client.patch(NODES.path(name, subresource="status"), {"status": status})

        with ThreadPoolExecutor(WIDTH) as pool:
            list(pool.map(add, range(self.nodes)))

    def patch_runtime(self, spec: Mapping[str, object]) -> None:
        """Changes the VMRuntime's spec."""
        self._client.patch(VM_RUNTIMES.path(VM_RUNTIME_NAME), {"spec": spec})

    def is_installed(self) -> bool:
        """Whether the controller has made the VMRuntime."""
        found = shapes.items(self._client.get(VM_RUNTIMES.path()), "items")
        return any(shapes.mapping(one, "status") for one in found)

    def is_taken_away(self) -> bool:
        """Whether no NodePreflight is left."""
        return not shapes.items(self._client.get(NODE_PREFLIGHTS.path(), params={"limit": "1"}), "items")

    def summary(self) -> Mapping[str, object]:
        """The VMRuntime's summary of checks."""
        return shapes.mapping(
            self._client.get(VM_RUNTIMES.path(VM_RUNTIME_NAME)), "status", "preflightCheckSummary"
        )

    def check(self, name: str) -> Mapping[str, object]:
        """A check."""
        return self._client.get(CHECKS.path(name, namespace=NAMESPACE))

    def pods_are_made(self) -> bool:
        """Whether every node has its agent's pod."""
        found = self._client.get(DAEMON_SETS.path(AGENT_NAME, namespace=NAMESPACE))
        return shapes.number(found, "status", "currentNumberScheduled") >= self.nodes

    def writes(self) -> Counter[str]:
        """Writes that the API server has answered, by resource and subresource."""
        counted: Counter[str] = Counter()
        for labels, count in WRITES.findall(self._plane.kubectl("get", "--raw", "/metrics")):
            one = dict(LABEL.findall(labels))
            if one["verb"] in ("POST", "PUT", "PATCH", "APPLY", "DELETE") and one["code"] < "400":
                counted["/".join(filter(None, (one["resource"], one["subresource"])))] += int(float(count))
        return counted

    def memory(self) -> tuple[int, int]:
        """Resident memory of the controller now and at its peak, MiB."""
        status = Path(f"/proc/{self.controller.pid}/status").read_text()
        found = {key: int(value) // 1024 for key, value in re.findall(r"(VmRSS|VmHWM):\s+(\d+)", status)}
        return found["VmRSS"], found["VmHWM"]

    def cpu(self) -> float:
        """CPU seconds of the controller until now."""
        fields = Path(f"/proc/{self.controller.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


def ours(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    """Writes between two moments to the kinds that the controller and the agents write."""
    made = after - before
    return {key: count for key, count in sorted(made.items()) if key.partition("/")[0] in OURS}


def own_report() -> Results:
    """The results of this machine."""
    done = subprocess.run([PROGRAM, "run", "-o", "json"], capture_output=True, text=True, check=False)
    found = shapes.items(json.loads(done.stdout), "results")
    return [{key: value for key, value in one.items() if key != "evidence"} for one in found]


def timed(what: str, act: Callable[[], object], done: Callable[[], object], cluster: Cluster) -> None:
    """Does something, waits for what comes of it, and prints how long it took and what was written."""
    before, cpu = cluster.writes(), cluster.cpu()
    start = time.monotonic()
    act()
    waiting.until(lambda: bool(done()) or None, what, seconds=PATIENCE)
    took = time.monotonic() - start
    # what follows the verdict: Events, the VMRuntime's status
    time.sleep(2)
    made = ours(before, cluster.writes())
    total = sum(made.values())
    print(
        f"| {what} | {took:.1f} | {total} | {total / cluster.nodes:.3f} | {cluster.cpu() - cpu:.1f} | "
        f"{cluster.memory()[0]} | {', '.join(f'{key} {count}' for key, count in made.items())} |",
        flush=True,
    )


def finished(cluster: Cluster, known: set[str]) -> Callable[[], bool]:
    """Tells whether a check that is not among ``known`` has its verdict."""

    def done() -> bool:
        summary = cluster.summary()
        return (
            shapes.text(summary, "preflightCheckName") not in {"", *known}
            and "preflightCheckPassed" in summary
        )

    return done


def measure(cluster: Cluster) -> None:
    """Goes from nothing to a disabled cluster, and prints a line for each step."""
    print("| what | s | writes | per node | controller's CPU s | RSS MiB | of them |")
    print("|---|---|---|---|---|---|---|")
    timed("nodes are made", cluster.add_nodes, lambda: True, cluster)
    timed(
        "enable to verdict",
        lambda: cluster.patch_runtime({"enabled": True}),
        finished(cluster, set()),
        cluster,
    )
    first = shapes.text(cluster.summary(), "preflightCheckName")
    timed("the agents' pods are made", lambda: None, cluster.pods_are_made, cluster)
    timed(
        "a check of agents that are there",
        lambda: cluster.patch_runtime({"vmImageFormat": "qcow2"}),
        finished(cluster, {first}),
        cluster,
    )
    second = shapes.text(cluster.summary(), "preflightCheckName")
    timed(f"idle for {IDLE_SECONDS} s", lambda: time.sleep(IDLE_SECONDS), lambda: True, cluster)
    now, peak = cluster.memory()
    wire = cluster.check(second)
    status = json.dumps(wire["status"], separators=(",", ":"))
    print(f"\ncontroller: {now} MiB resident, {peak} at its peak")
    print(
        f"status of a check of {cluster.nodes} nodes: {len(status) / 1024:.0f} KiB, "
        f"truncated: {shapes.flag(wire, 'status', 'truncated')}"
    )
    print(f"verdicts: {json.dumps(cluster.summary(), separators=(',', ':'))[:200]}")
    timed("disable", lambda: cluster.patch_runtime({"enabled": False}), cluster.is_taken_away, cluster)


@contextlib.contextmanager
def running(nodes: int, directory: Path) -> Iterator[Cluster]:
    """An installed cluster with its controller and agents, without nodes."""
    with ControlPlane(controller_manager=True) as plane:
        plane.apply_deploy()
        client = Client(kubeconfig.load(str(plane.kubeconfig)))
        cluster = Cluster(plane, client, directory, nodes)
        fleet = Fleet(client, own_report())
        fleet.start()
        try:
            waiting.until(lambda: bool(cluster.is_installed()) or None, "the controller", seconds=60)
            yield cluster
        finally:
            offspring.end(cluster.controller)
            fleet.stop()
            client.close()


def main() -> None:
    """Measures and prints."""
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(prefix="vm-preflight-bench-") as directory:
        with running(nodes, Path(directory)) as cluster:
            measure(cluster)
        for line in (Path(directory) / "controller.log").read_text().splitlines():
            if '"level": "info"' not in line:
                print(line)


if __name__ == "__main__":
    main()
