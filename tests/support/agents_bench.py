"""One node's agent between a proxy before the API server and a probe, asked for runs as by the controller."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from agentlab import AgentProcess, Lab
from controlplane import ControlPlane
from faultyproxy import FaultyProxy
from waiting import until

from cluster import node_preflight
from cluster.resources import AGENT_NAME, NAMESPACE, NODE_PREFLIGHTS, NODES, PODS
from cluster.shapes import mapping, text

NODE = "faulty-agent-node"
Wire = Mapping[str, object]


class Bench:
    """One node's agent between a proxy and a probe."""

    def __init__(self, plane: ControlPlane, lab: Lab, proxy: FaultyProxy) -> None:
        self.plane, self.lab, self.proxy = plane, lab, proxy
        node = self._make(NODES.path(), {"kind": "Node", "metadata": {"name": NODE}})
        container = {"name": "agent", "image": "none"}
        spec = {"nodeName": NODE, "serviceAccountName": AGENT_NAME, "containers": [container]}
        pod = {"kind": "Pod", "metadata": {"name": NODE, "namespace": NAMESPACE}, "spec": spec}
        self._make(PODS.path(namespace=NAMESPACE), pod)
        body = node_preflight.spec_body(NODE, node_uid=text(node, "metadata", "uid"))
        self._make(NODE_PREFLIGHTS.path(), body)
        token = plane.token(AGENT_NAME, NAMESPACE, pod=NODE)
        self._kubeconfig = str(plane.kubeconfig_for_token(token, server=proxy.url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path in (NODE_PREFLIGHTS.path(NODE), NODES.path(NODE)):
            self.plane.request("DELETE", path)
        pod = PODS.path(NODE, namespace=NAMESPACE)
        self.plane.request("DELETE", pod, {"gracePeriodSeconds": 0})

    def agent(self, **given: object) -> AgentProcess:
        """Starts the agent; what is given is `agentlab.Lab.agent`'s."""
        return self.lab.agent(kubeconfig=self._kubeconfig, node=NODE, **given)

    def ask(self, run: str) -> None:
        """Asks for a run, as the controller does."""
        deadline = datetime.now(UTC) + timedelta(seconds=100)
        body = {"spec": {"run": {"id": run, "check": f"check-{run}", "deadline": deadline.isoformat()}}}
        code, answer = self.plane.request("PATCH", NODE_PREFLIGHTS.path(NODE), body)
        assert code == 200, answer

    def answered(self, run: str) -> None:
        """Waits for the answer, and holds it against what the probe's one check finds."""
        assert self.answer(run).get("passed") is True, self._status()

    def answer(self, run: str) -> Wire:
        """Waits for the answer to a run, and returns it."""
        until(lambda: self.is_answered(run), f"the answer to {run}")
        return self._status()

    def is_answered(self, run: str) -> bool:
        """Whether the last answer is that to a run."""
        return self._status().get("runID") == run

    def passed(self) -> object:
        """Returns the verdict of the last answer."""
        return self._status().get("passed")

    def _status(self) -> Wire:
        return mapping(self.plane.request("GET", NODE_PREFLIGHTS.path(NODE))[1], "status")

    def _make(self, path: str, body: Wire) -> Wire:
        code, made = self.plane.request("POST", path, {"apiVersion": "v1", **body})
        assert code == 201, made
        return made
