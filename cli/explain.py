"""``kubectl vm-preflight explain NODE``: a node's report, or why there is none and what to do."""

from collections.abc import Sequence

from cli.cluster_access import FAILED, NO_VERDICT, cluster_options, connection, not_installed, say
from cli.cluster_view import is_skipped, visible
from cli.node_report import of_check, of_status
from cli.options import Parser, RefusedError, UsageError, choice, complain
from cli.standing import CheckView, Wire, check_view, latest_ended, told_by_check
from cli.unchecked import why_unchecked
from cluster import node_preflight
from cluster.node_preflight import NodePreflight
from cluster.resources import CHECKS, NAMESPACE, NODE_PREFLIGHTS, NODES, SKIP_LABEL
from cluster.shapes import items, text
from cluster.transport import ApiError, Client
from controller.silence import AGENT_CHECK
from preflight.report import Report
from preflight.result import one_line


def main(program: str, words: Sequence[str]) -> int:
    """Prints a node's report as ``vm-preflight run`` prints it there.

    Returns:
        0 the node passed, 1 it did not or there is no such node, 3 there is no verdict.

    Raises:
        UsageError: The node has no name.
        RefusedError: There is no such node.
    """
    parser = Parser(program, "Shows what was found on a node, and what to do; or why nothing was.")
    parser.option(
        "--output",
        choice("text", "json", "yaml"),
        short="-o",
        default="text",
        metavar="text|json|yaml",
        help="form of the report",
    )
    cluster_options(parser)
    parser.add_argument("node", metavar="NODE")
    options = parser.parse_args(words)
    if not options.node:
        raise UsageError("NODE is empty: name a node")
    from cli.run import render, write

    with connection(options) as client:
        client = client.limited(attempts=2)
        name = options.node
        preflight = _preflight(client, name)
        node = visible(lambda: client.get(NODES.path(name)))
        if preflight is None and node is not None and not node:
            raise RefusedError(f'Error from server (NotFound): nodes "{one_line(name)}" not found')
        found = visible(lambda: client.list(CHECKS.path(namespace=NAMESPACE)))
        checks = [check_view(one) for one in items(found or {}, "items")]
        report = _report(name, preflight, node, latest_ended(checks))
        if report is None:
            complain(program, why_unchecked(client, name, preflight, node, checks))
            return NO_VERDICT
        for note in _notes(name, preflight, node, report):
            say(note)
    write(render(report, options.output), form=options.output)
    return 0 if report.passed else FAILED


def _preflight(client: Client, name: str) -> NodePreflight | None:
    try:
        return node_preflight.from_object(client.get(NODE_PREFLIGHTS.path(name)))
    except ApiError as error:
        if not error.not_found:
            raise
        if not error.message.endswith('" not found'):  # the kind is not there
            raise not_installed() from error
        return None


def _report(
    name: str, preflight: NodePreflight | None, node: Wire | None, check: CheckView | None
) -> Report | None:
    """Returns what is known of a node; None where nothing is."""
    told = told_by_check(name, preflight, check)
    if told is not None and check is not None:
        return of_check(name, told, check)
    status = preflight.status if preflight else None
    if status is None or status.passed is None:
        return None
    return of_status(name, status, architecture=text(node, "status", "nodeInfo", "architecture"))


def _notes(name: str, preflight: NodePreflight | None, node: Wire | None, report: Report) -> Sequence[str]:
    """Says what a report does not: that it is not the node's last word."""
    notes = []
    if (node and is_skipped(node)) or (preflight and preflight.skip):
        notes.append(
            f"{name} is skipped: no check asks it, and what follows is from before. "
            f"Take it back: kubectl label nodes {name} {SKIP_LABEL}-"
        )
    elif preflight and preflight.pending and not any(one.check_name == AGENT_CHECK for one in report.results):
        notes.append(f"{preflight.pending.check} asks {name} just now; what follows is from before")
    return [one_line(note) for note in notes]
