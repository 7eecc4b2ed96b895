"""What the nodes' verdicts mean for virtual machines, in a few lines for a person. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from cli.cluster_view import View
from cli.columns import age
from cli.kubectl import KUBECTL
from cli.standing import Standing, Wire
from cluster.resources import DISABLING_ANNOTATION
from cluster.shapes import flag, mapping, time
from controller.standing import State
from controller.summary import recorded
from preflight.result import one_line


def summary(view: View, now: datetime) -> Iterator[str]:
    """Yields what stands below the table on a terminal: counts, whether VMs can be created, what to type."""
    standings = view.standings()
    counts = Counter(one.state for one in standings)
    told = ", ".join(f"{counts[state]} {state.value.lower()}" for state in State if counts[state])
    if told:
        yield f"{len(standings)} node{'' if len(standings) == 1 else 's'}: {told}."
    if view.runtime:
        yield gate(view.runtime, now)
    for check in view.checks or ():
        if not check.ended:
            yield f"Under way: {one_line(check.name)}, {one_line(check.message) or 'not picked up yet'}."
    yield from advice(standings)


def gate(runtime: Wire, now: datetime) -> str:
    """Says whether virtual machines can be created, and why."""
    if not (flag(runtime, "spec", "enabled") or flag(runtime, "status", "enabled")):
        return f"The VM runtime is disabled: VMs are not held back. Enable it: {KUBECTL.name} enable"
    annotations = mapping(runtime, "metadata", "annotations")
    if annotations.get(DISABLING_ANNOTATION) == "true" or not flag(runtime, "spec", "enabled"):
        return (
            "VMs are refused: the VM runtime is being switched off. See: kubectl describe vmruntime vmruntime"
        )
    last = recorded(mapping(runtime, "status"))
    if last is None:
        return "VMs are refused: no check has finished since the VM runtime was enabled."
    ended = time(last.wire, "completionTime")
    ago = f" {age(ended, now)} ago" if ended else ""
    name = one_line(last.name)
    if last.passed:
        return f"VMs can be created: {name} passed{ago}."
    return f"VMs are refused: {name} failed{ago}{f' ({one_line(last.cause)})' if last.cause else ''}."


def advice(standings: list[Standing]) -> Iterator[str]:
    """Yields the next command to type, where something is wrong."""
    failed = [one.node for one in standings if one.state is State.FAILED]
    if failed:
        yield f"Why, and what to do: {KUBECTL.name} explain {one_line(failed[0])}"
