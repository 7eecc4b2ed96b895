"""What ``kubectl vm-preflight`` looks at: every node's NodePreflight, the nodes, the checks, the VMRuntime.

Who may see NodePreflights sees the table. The rest is done without where it may not be seen, and it is said.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cli.cluster_access import not_installed, say
from cli.refusals import as_kubectl_says
from cli.standing import CheckView, Standing, Wire, check_view, latest_ended, stand
from cluster import node_preflight
from cluster.resources import (
    CHECKS,
    NAMESPACE,
    NODE_PREFLIGHTS,
    NODES,
    SKIP_LABEL,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
)
from cluster.shapes import items, mapping, text
from cluster.transport import ApiError, Client


@dataclass(frozen=True, slots=True)
class View:
    """A cluster, as far as it may be seen.

    Attributes:
        preflights: NodePreflights, as they were read, by node.
        skipped: Whether a node carries the skip label, by node; None where nodes may not be listed.
        checks: The VMRuntimePreflightChecks; None where they may not be listed.
        runtime: The VMRuntime; empty where there is none, None where it may not be seen.
    """

    preflights: Mapping[str, Wire]
    skipped: Mapping[str, bool] | None
    checks: Sequence[CheckView] | None = None
    runtime: Wire | None = None

    def standings(self) -> list[Standing]:
        """Returns how every node stands, by name."""
        check = latest_ended(self.checks or ())
        names: Iterable[str] = self.preflights if self.skipped is None else self.skipped
        if check and self.skipped is None and not names:  # the VM runtime is off
            names = check.answers
        return [
            stand(
                name,
                node_preflight.from_object(self.preflights[name]) if name in self.preflights else None,
                skipped=bool(self.skipped and self.skipped.get(name)),
                check=check,
            )
            for name in sorted(names)
        ]


def look(client: Client, *, selector: str = "") -> View:
    """Reads everything once.

    Args:
        client: Calls to the API server.
        selector: Label selector of the nodes; with one they must be listed.

    Raises:
        NotDoneError: vm-preflight is not installed.
        ApiError: NodePreflights may not be listed, or the API server does not answer.
    """
    try:
        found = client.list(NODE_PREFLIGHTS.path())
    except ApiError as error:
        raise not_installed() if error.not_found else error from error
    preflights = {text(one, "metadata", "name"): one for one in items(found, "items")}
    params = {"labelSelector": selector} if selector else None
    nodes = visible(lambda: client.list(NODES.path(), params=params), needed=bool(selector))
    checks = visible(lambda: client.list(CHECKS.path(namespace=NAMESPACE)))
    runtime = visible(lambda: client.get(VM_RUNTIMES.path(VM_RUNTIME_NAME)))
    return View(
        preflights,
        None if nodes is None else {name_of(one): is_skipped(one) for one in items(nodes, "items")},
        None if checks is None else [check_view(one) for one in items(checks, "items")],
        runtime,
    )


def visible(ask: Callable[[], Wire], *, needed: bool = False) -> Wire | None:
    """Returns what is asked for, empty where it is not there, None where it may not be seen.

    Raises:
        ApiError: Any other refusal, and these too where it is ``needed``.
    """
    try:
        return ask()
    except ApiError as error:
        if needed or not (error.forbidden or error.not_found):
            raise
        if error.not_found:
            return {}
        say(f"shown without what may not be seen: {as_kubectl_says(error)}")
        return None


def name_of(wire: Wire) -> str:
    """Returns an object's name."""
    return text(wire, "metadata", "name")


def is_skipped(node: Wire) -> bool:
    """Whether a Node carries the skip label."""
    return SKIP_LABEL in mapping(node, "metadata", "labels")
