"""A node's report as ``vm-preflight run`` has it, made of what the API server knows of the node. Pure."""

from cli.standing import CheckView, Wire, mode_in
from cluster.node_preflight import NodeStatus
from cluster.shapes import at, flag, items, text, timestamp
from preflight.report import Mode, Report
from preflight.result import Result, Status, one_line

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
"""What Go calls architectures, and ``uname -m`` (others have one name)."""


def of_status(node: str, status: NodeStatus, *, architecture: str = "") -> Report:
    """Returns the report that a node's agent published.

    Args:
        node: The node's name.
        status: What its agent wrote.
        architecture: The node's, as Kubernetes names it; empty where it is unknown.
    """
    return Report(
        node=node,
        passed=status.passed is True,
        mode=mode(status.mode),
        results=tuple(result(one) for one in status.results),
        start_time=timestamp(status.start_time) if status.start_time else "",
        completion_time=timestamp(status.completion_time) if status.completion_time else "",
        kernel_version=status.kernel_version,
        architecture=ARCHITECTURES.get(architecture, architecture),
        agent_version=status.agent_version,
        boot_id=status.boot_id,
    )


def of_check(node: str, told: Wire, check: CheckView) -> Report:
    """Returns a report made of a check's entry for a node.

    Args:
        node: The node's name.
        told: The entry; a message in it has what to do on lines of its own.
        check: The check.
    """
    ended = timestamp(check.ended) if check.ended else ""
    results = []
    for one in items(told, "results"):
        message, _, hint = text(one, "message").partition("\n")
        results.append(result({**one, "message": message, "hint": hint}))
    return Report(
        node=node,
        passed=flag(told, "passed"),
        mode=mode(mode_in(items(told, "results"))),
        results=tuple(results),
        start_time=ended,
        completion_time=ended,
        kernel_version="",
        architecture="",
        agent_version="",
    )


def mode(word: str) -> Mode | None:
    """Reads a mode; None for a word that is none."""
    return Mode(word) if word in list(Mode) else None


def result(wire: Wire) -> Result:
    """Reads a result, tolerating whatever it holds; a status that there is none of counts as Unknown.

    Its words are made fit for a terminal: a report of this program has no others, and is shown as it is.
    """
    status = text(wire, "status")
    seconds = at(wire, "durationSeconds")
    return Result(
        check_name=one_line(text(wire, "checkName")),
        status=Status(status) if status in list(Status) else Status.UNKNOWN,
        passed=flag(wire, "passed"),
        reason=one_line(text(wire, "reason")),
        message=text(wire, "message"),
        hint=text(wire, "hint") or None,
        duration_seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
    )
