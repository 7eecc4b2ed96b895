"""The cluster that end-to-end tests run against: one of our own (realcluster.py), or one that was given.

It is seen as its administrator sees it: through kubectl and the command line.
"""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from controllerprocess import PROGRAM
from kubectl import Kubectl
from realcluster import RealCluster

from cluster.resources import AGENT_NAME, NAMESPACE, SKIP_LABEL

SELECTOR = "app.kubernetes.io/name=vm-preflight,app.kubernetes.io/component"
MACHINES = "vm-preflight-e2e"
"""Namespace in which virtual machines are made."""
MACHINE = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: {name}
  namespace: vm-preflight-e2e
spec:
  runStrategy: Halted
  template:
    spec:
      domain:
        devices: {{}}
        memory:
          guest: 64Mi
"""


class EndToEnd:
    """A cluster with its administrator's credentials.

    Attributes:
        kubectl: kubectl, as the administrator.
        kubeconfig: The administrator's.
        image: What pods call our image.
        own: The cluster, when it is ours to switch nodes of.
    """

    def __init__(self, kubectl: Kubectl, kubeconfig: Path, image: str, own: RealCluster | None) -> None:
        """Takes what is there."""
        self.kubectl = kubectl
        self.kubeconfig = kubeconfig
        self.image = image
        self.own = own

    def vm_preflight(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of ours with the administrator's kubeconfig, whatever its exit status."""
        command: list[str | Path] = [PROGRAM, *words, "--kubeconfig", self.kubeconfig]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def runtime(self) -> dict[str, Any]:
        """The VMRuntime, empty when there is none."""
        return self.kubectl.get("vmruntime", "vmruntime", "--ignore-not-found")

    def checks(self) -> list[dict[str, Any]]:
        """The preflight checks, oldest first."""
        items = self.kubectl.get("vmruntimepfc", "-n", NAMESPACE)["items"]
        return sorted(
            items, key=lambda check: (check["metadata"]["creationTimestamp"], check["metadata"]["name"])
        )

    def names_of_checks(self) -> set[str]:
        """To tell new checks by."""
        return {check["metadata"]["name"] for check in self.checks()}

    def finished_since(self, known: set[str]) -> Callable[[], dict[str, Any] | None]:
        """Returns a look for a check that is not among the known ones, and has its verdict."""

        def look() -> dict[str, Any] | None:
            new = [check for check in self.checks() if check["metadata"]["name"] not in known]
            done = [check for check in new if "completionTime" in check.get("status", {})]
            return done[0] if done else None

        return look

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Our pods of a component, `agent` or `controller`."""
        found = self.kubectl.get("pods", "-n", NAMESPACE, "-l", f"{SELECTOR}={component}")["items"]
        return list(found)

    def nodes_that_take_part(self) -> list[str]:
        """Names of the nodes without the skip label on which an agent runs."""
        labels = {
            node["metadata"]["name"]: node["metadata"].get("labels", {})
            for node in self.kubectl.get("nodes")["items"]
        }
        served = {pod["spec"].get("nodeName", "") for pod in self.pods("agent")}
        return sorted(name for name in served if SKIP_LABEL not in labels.get(name, {SKIP_LABEL: ""}))

    def node_preflight(self, node: str) -> dict[str, Any]:
        """A node's NodePreflight, empty when there is none."""
        return self.kubectl.get("nodepreflight", node, "--ignore-not-found")

    def agents_are_gone(self) -> bool:
        """Whether neither the DaemonSet nor any pod of it is left."""
        found = self.kubectl.get("daemonset", AGENT_NAME, "-n", NAMESPACE, "--ignore-not-found")
        return not found and not self.pods("agent")


def verdicts(check: dict[str, Any]) -> dict[str, bool]:
    """Whether each node of a check passed, by its name."""
    return {node: bool(found["passed"]) for node, found in check["status"]["checks"].items()}


def reasons(found: Mapping[str, Any]) -> dict[str, str]:
    """Why each check of a node ended as it did: those of a NodePreflight's status, or of a check's entry."""
    return {result["checkName"]: result["reason"] for result in found["results"]}
