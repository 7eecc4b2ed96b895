"""The controller's page for people: the switch, the latest check, and every node in a line."""

from collections.abc import Iterable

from cluster import shapes
from cluster.node_preflight import NodePreflight
from cluster.resources import VM_RUNTIME_NAME
from controller.objects import Check, Node, Runtime, WireObject
from controller.standing import State, state_of
from controller.triggers import trigger_of
from daemon import html

MAX_NODES = 500
"""Rows of the table of nodes; failed ones come first."""
TITLE = "VM preflight"
LOOKS = {
    State.PASSED: "good",
    State.FAILED: "bad",
    State.PENDING: "odd",
    State.SKIPPED: "dim",
    State.UNKNOWN: "dim",
}


def render(
    runtime: Runtime | None,
    checks: Iterable[Check],
    nodes: Iterable[Node],
    preflights: dict[str, NodePreflight],
    *,
    note: str = "",
) -> str:
    """Returns the page.

    Args:
        runtime: The VMRuntime.
        checks: Every check.
        nodes: Every node.
        preflights: NodePreflights by node.
        note: What is to be said of this process, such as that it stands by.
    """
    shown = sorted(nodes, key=lambda node: (_rank(node, preflights.get(node.name)), node.name))
    rows = [_row(node, preflights.get(node.name)) for node in shown[:MAX_NODES]]
    more = (
        f"{len(shown) - MAX_NODES} more nodes: kubectl get nodepreflights" if len(shown) > MAX_NODES else ""
    )
    return html.document(
        TITLE,
        html.element("header", html.element("h1", TITLE), *_state(runtime)),
        html.element("p", note, class_="dim") if note else "",
        *_conditions(runtime),
        html.element("h2", "Checks"),
        html.table(["Name", "Verdict", "Asked for by", "Said"], [_check(one) for one in _newest(checks)]),
        html.element("h2", "Nodes"),
        html.table(["Node", "Verdict", "Mode", "What fails"], rows),
        html.element("p", more) if more else "",
        links=("/metrics", "/healthz", "/readyz"),
    )


def _state(runtime: Runtime | None) -> Iterable[html.Markup]:
    if runtime is None:
        return (html.badge(f"no VMRuntime {VM_RUNTIME_NAME}", "odd"),)
    on = runtime.memory.enabled
    ready = shapes.flag(runtime.status, "ready")
    return (
        html.badge("enabled" if on else "disabled", "good" if on else "dim"),
        html.badge("ready" if ready else "not ready", "good" if ready else "odd" if on else "dim"),
    )


def _conditions(runtime: Runtime | None) -> Iterable[html.Markup]:
    told: dict[str, str] = {
        shapes.text(one, "type"): f"{shapes.text(one, 'status')}: {shapes.text(one, 'message')}"
        for one in shapes.items(runtime.status if runtime else {}, "conditions")
    }
    return (html.facts(told),) if told else ()


def _newest(checks: Iterable[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: check.age_key, reverse=True)


def _check(check: Check) -> list[str]:
    return [check.name, _verdict_of(check), trigger_of(check).value, check.message]


def _verdict_of(check: Check) -> html.Markup:
    if check.passed is not None:
        return html.badge("passed", "good") if check.passed else html.badge("failed", "bad")
    if check.cancelled:
        return html.badge("cancelled", "dim")
    return html.badge("running" if check.running else "waiting", "odd")


def _rank(node: Node, preflight: NodePreflight | None) -> int:
    passed = preflight.status.passed if preflight and preflight.status else None
    return 3 if node.skipped else {False: 0, None: 1, True: 2}[passed]


def _row(node: Node, preflight: NodePreflight | None) -> list[str]:
    status = preflight.status if preflight else None
    failed = [one for one in (status.results if status else ()) if not shapes.flag(one, "passed")]
    return [node.name, _verdict(node, preflight), status.mode if status else "", *_told(failed)]


def _verdict(node: Node, preflight: NodePreflight | None) -> html.Markup:
    state = state_of(preflight, skipped=node.skipped)
    return html.badge(state.value.lower(), LOOKS[state])


def _told(failed: list[WireObject]) -> list[str]:
    if not failed:
        return [""]
    parts: list[str] = []
    for one in failed:
        parts.append(html.element("div", f"{shapes.text(one, 'checkName')}: {shapes.text(one, 'message')}"))
        if hint := shapes.text(one, "hint"):
            parts.append(html.hint(hint))
    return [html.element("div", *parts)]
