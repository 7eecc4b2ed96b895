"""Why nothing is known of a node yet, in one sentence with the next command to type."""

from collections.abc import Sequence

from cli.cluster_view import is_skipped, visible
from cli.kubectl import KUBECTL
from cli.standing import CheckView, Wire
from cluster.node_preflight import NodePreflight
from cluster.resources import AGENT_NAME, DAEMON_SETS, NAMESPACE, SKIP_LABEL, VM_RUNTIME_NAME, VM_RUNTIMES
from cluster.shapes import flag, mapping
from cluster.transport import Client
from controller import objects
from controller.participation import fits


def why_unchecked(
    client: Client, name: str, preflight: NodePreflight | None, node: Wire | None, checks: Sequence[CheckView]
) -> str:
    """Says why a node has no report.

    Args:
        client: Calls to the API server.
        name: The node's name.
        preflight: Its NodePreflight; None where there is none.
        node: The Node; None where it may not be seen.
        checks: Every check.
    """
    if (node and is_skipped(node)) or (preflight and preflight.skip):
        back = f"kubectl label nodes {name} {SKIP_LABEL}-"
        return f'nothing is known of node "{name}": it is skipped; take it back: {back}'
    if preflight is not None:
        agent = (
            f"see its agent: kubectl -n {NAMESPACE} get pods -o wide --field-selector spec.nodeName={name}"
        )
        if run := preflight.pending:
            return f'node "{name}" has not answered {run.check} yet; {agent}'
        return f'node "{name}" has not reported yet; {agent}'
    runtime = visible(lambda: client.get(VM_RUNTIMES.path(VM_RUNTIME_NAME)))
    on = flag(runtime, "spec", "enabled") or flag(runtime, "status", "enabled")
    if runtime and not on and all(check.ended for check in checks):
        return (
            f'nothing is known of node "{name}": the VM runtime is disabled, and no agent runs; '
            f"check the nodes once: {KUBECTL.name} run; or enable it: {KUBECTL.name} enable"
        )
    daemon_set = visible(lambda: client.get(DAEMON_SETS.path(AGENT_NAME, namespace=NAMESPACE)))
    template = mapping(daemon_set, "spec", "template")
    if template and node and not fits(template, objects.node(node)):
        return (
            f'node "{name}" takes no part: the DaemonSet {AGENT_NAME} does not fit it (selector, affinity, '
            f"tolerations); compare: kubectl describe node {name}; "
            f"kubectl -n {NAMESPACE} get daemonset {AGENT_NAME} -o yaml"
        )
    return (
        f'node "{name}" has not been asked yet; see that the controller runs: '
        f"kubectl -n {NAMESPACE} get pods; and what it says: kubectl describe vmruntime {VM_RUNTIME_NAME}"
    )
