"""NodePreflight: what the controller asks of a node's agent, and what the agent answers.

The controller alone writes ``spec``, the agent of that node alone writes ``status``. An agent runs whenever
``spec.run.id`` is not the run that its status answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cluster import shapes
from cluster.resources import NODE_PREFLIGHTS


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that the controller asks for.

    Attributes:
        id: UID of the VMRuntimePreflightCheck.
        check: Its name.
        deadline: When the controller stops waiting for the answer; None where it does not say.
    """

    id: str
    check: str = ""
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What an agent wrote.

    Attributes:
        run_id: The requested run that was last answered; empty where none was.
        passed: The node's verdict; None while it is unknown.
        mode: ``Hardware``, ``Emulation``, ``None``, or empty.
        results: Results as the agent reports them (`preflight.result`), one for each check.
        start_time: When the run began.
        completion_time: When it ended.
        boot_id: The kernel's boot ID.
        kernel_version: ``uname -r``.
        agent_version: Version of the agent.
    """

    run_id: str = ""
    passed: bool | None = None
    mode: str = ""
    results: tuple[Mapping[str, object], ...] = ()
    start_time: datetime | None = None
    completion_time: datetime | None = None
    boot_id: str = ""
    kernel_version: str = ""
    agent_version: str = ""

    def to_dict(self) -> dict[str, object]:
        """Returns the wire form, absent values as None: a merge patch takes those away from an older one."""
        return {
            "runID": self.run_id or None,
            "passed": self.passed,
            "mode": self.mode or None,
            "results": [dict(result) for result in self.results],
            "startTime": shapes.timestamp(self.start_time) if self.start_time else None,
            "completionTime": shapes.timestamp(self.completion_time) if self.completion_time else None,
            "bootID": self.boot_id or None,
            "kernelVersion": self.kernel_version or None,
            "agentVersion": self.agent_version or None,
        }


@dataclass(frozen=True, slots=True)
class NodePreflight:
    """A NodePreflight as it was read; what is missing or of the wrong type has the attribute's default.

    Attributes:
        name: The node's name.
        uid: The object's own UID.
        resource_version: The object's version.
        node_uid: UID of the owning Node, empty where there is none.
        skip: The node carries the skip label.
        use_emulation: ``spec.config.useEmulation``.
        ignored_checks: ``spec.config.ignoredChecks``.
        kubelet_version: ``spec.kubeletVersion``, the kubelet's version last acted on; empty for none.
        run: The run that is asked for.
        status: What the agent wrote; None where it has written nothing.
    """

    name: str
    uid: str = ""
    resource_version: str = ""
    node_uid: str = ""
    skip: bool = False
    use_emulation: bool = False
    ignored_checks: tuple[str, ...] = ()
    kubelet_version: str = ""
    run: RunRequest | None = None
    status: NodeStatus | None = None

    @property
    def pending(self) -> RunRequest | None:
        """The run that is asked for and not answered yet."""
        answered = self.status.run_id if self.status else ""
        return self.run if self.run and self.run.id != answered and not self.skip else None


def from_object(obj: Mapping[str, object]) -> NodePreflight:
    """Reads a NodePreflight, tolerating whatever its fields hold."""
    owners = [
        owner
        for owner in shapes.items(obj, "metadata", "ownerReferences")
        if shapes.text(owner, "kind") == "Node" and shapes.text(owner, "apiVersion") == "v1"
    ]
    run_id = shapes.text(obj, "spec", "run", "id")
    status = shapes.mapping(obj, "status")
    return NodePreflight(
        name=shapes.text(obj, "metadata", "name"),
        uid=shapes.text(obj, "metadata", "uid"),
        resource_version=shapes.text(obj, "metadata", "resourceVersion"),
        node_uid=shapes.text(owners[0], "uid") if owners else "",
        skip=shapes.flag(obj, "spec", "skip"),
        use_emulation=shapes.flag(obj, "spec", "config", "useEmulation"),
        ignored_checks=shapes.words(obj, "spec", "config", "ignoredChecks"),
        kubelet_version=shapes.text(obj, "spec", "kubeletVersion"),
        run=RunRequest(
            id=run_id,
            check=shapes.text(obj, "spec", "run", "check"),
            deadline=shapes.time(obj, "spec", "run", "deadline"),
        )
        if run_id
        else None,
        status=_status(status) if status else None,
    )


def _status(status: Mapping[str, object]) -> NodeStatus:
    passed = status.get("passed")
    return NodeStatus(
        run_id=shapes.text(status, "runID"),
        passed=passed if isinstance(passed, bool) else None,
        mode=shapes.text(status, "mode"),
        results=tuple(shapes.items(status, "results")),
        start_time=shapes.time(status, "startTime"),
        completion_time=shapes.time(status, "completionTime"),
        boot_id=shapes.text(status, "bootID"),
        kernel_version=shapes.text(status, "kernelVersion"),
        agent_version=shapes.text(status, "agentVersion"),
    )


def spec_body(
    name: str,
    *,
    node_uid: str,
    version: str = "",
    skip: bool = False,
    use_emulation: bool = False,
    ignored_checks: Sequence[str] = (),
    kubelet_version: str = "",
    run: RunRequest | None = None,
) -> dict[str, object]:
    """Returns the object that the controller applies for a node: owned by it, so that it goes with it.

    Applied server-side, a field that is left out is taken away: no ``run`` withdraws the run. A ``version``,
    the resource version that it was decided from, makes a change meanwhile a conflict.
    """
    spec: dict[str, object] = {
        "skip": skip,
        "config": {"useEmulation": use_emulation, "ignoredChecks": sorted(set(ignored_checks))},
    }
    if kubelet_version:
        spec["kubeletVersion"] = kubelet_version
    if run is not None:
        spec["run"] = {
            "id": run.id,
            "check": run.check,
            **({"deadline": shapes.timestamp(run.deadline)} if run.deadline else {}),
        }
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid}
    return {
        "apiVersion": NODE_PREFLIGHTS.api_version,
        "kind": NODE_PREFLIGHTS.kind,
        "metadata": {
            "name": name,
            "ownerReferences": [owner],
            **({"resourceVersion": version} if version else {}),
        },
        "spec": spec,
    }


def spec_patch(body: Mapping[str, object]) -> dict[str, object]:
    """Returns the merge patch that makes a spec what `spec_body` has, whoever else wrote into it.

    Applying leaves what another field manager owns: a run that we do not ask for, names in a list of ours.
    """
    spec = shapes.mapping(body, "spec")
    run = shapes.mapping(spec, "run")
    return {
        "spec": {"kubeletVersion": None, **spec, "run": {"deadline": None, **run} if run else None},
    }
