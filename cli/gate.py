"""What the nodes' verdicts mean for virtual machines, in a few lines for a person. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from cli.cluster_view import View
from cli.columns import age
from cli.kubectl import KUBECTL
from cli.standing import Standing, Wire
from cluster.resources import DISABLING_ANNOTATION, NAMESPACE
from cluster.shapes import flag, items, mapping, text, time
from controller.standing import State
from controller.status import AGENTS_ROLLED_OUT, NOT_WANTED
from controller.summary import recorded
from preflight.result import one_line


def summary(view: View, now: datetime) -> Iterator[str]:
    """Yields what stands below the table on a terminal: counts, whether VMs can be created, what to type."""
    standings = view.standings()
    counts = Counter(one.state for one in standings)
    told = ", ".join(f"{counts[state]} {state.value.lower()}" for state in State if counts[state])
    if told:
        yield f"{len(standings)} node{'' if len(standings) == 1 else 's'}: {told}."
    if view.runtime is not None:
        yield gate(view.runtime, now)
        yield from agents(view.runtime)
    for check in view.checks or ():
        if not check.ended:
            yield f"Under way: {one_line(check.name)}, {one_line(check.message) or 'not picked up yet'}."
    yield from advice(view, standings)


def gate(runtime: Wire, now: datetime) -> str:
    """Says whether virtual machines can be created, and why."""
    if not runtime:
        return (
            f"There is no VMRuntime. The controller makes it; does that run? kubectl get pods -n {NAMESPACE}"
        )
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


def agents(runtime: Wire) -> Iterator[str]:
    """Yields why agents are missing, where they are wanted."""
    for one in items(runtime, "status", "conditions"):
        if text(one, "type") != AGENTS_ROLLED_OUT or text(one, "status") != "False":
            continue
        if text(one, "reason") != NOT_WANTED:
            yield f"Agents: {one_line(text(one, 'message'))}"


def advice(view: View, standings: list[Standing]) -> Iterator[str]:
    """Yields the next command to type, where something is wrong."""
    failed = [one.node for one in standings if one.state is State.FAILED]
    if failed:
        yield f"Why, and what to do: {KUBECTL.name} explain {one_line(failed[0])}"
    elif is_behind(view, standings):
        yield f"No node fails any more. Check again: {KUBECTL.name} run"


def is_behind(view: View, standings: list[Standing]) -> bool:
    """Whether the check that counts failed because of nodes, and another one would find none that fails."""
    last = recorded(mapping(view.runtime, "status"))
    if last is None or last.passed or text(last.wire, "message") or not flag(view.runtime, "spec", "enabled"):
        return False
    return all(check.ended for check in view.checks or ()) and any(
        one.state is State.PASSED for one in standings
    )
