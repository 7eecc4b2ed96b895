"""The agent's page at ``/``: what this node's last run found, for a person who looks."""

from typing import NamedTuple

from agent.decide import Trigger
from daemon.html import Markup, badge, document, element, facts, hint, table
from preflight.report import Report
from preflight.result import Result, Status

TONES = {
    Status.PASS: "good",
    Status.WARN: "odd",
    Status.FAIL: "bad",
    Status.SKIP: "dim",
    Status.UNKNOWN: "bad",
}

WHY = {
    Trigger.REQUESTED: "the controller asked for it",
    Trigger.DEVICE: "/dev/kvm came, went or changed",
    Trigger.SIGNAL: "SIGHUP asked for it",
    Trigger.STARTUP: "the agent or its probe started, or its node joined",
    Trigger.INTERVAL: "the interval was over",
}


class View(NamedTuple):
    """What the page shows.

    Attributes:
        node: The node's name.
        version: Version of this program.
        skipped: The node is skipped.
        problem: Why the agent is not ready, empty when it is.
        report: The last report, None before the first.
        trigger: Why that run began.
        run_id: The requested run that it answers, empty for none.
        links: Further paths that are served here.
    """

    node: str
    version: str
    skipped: bool = False
    problem: str = ""
    report: Report | None = None
    trigger: Trigger | None = None
    run_id: str = ""
    links: tuple[str, ...] = ()


def render(view: View) -> str:
    """Returns the document."""
    report = view.report
    header = [element("h1", view.node), _verdict(view)]
    if report is not None and report.mode is not None:
        header.append(badge(f"mode: {report.mode.value}", "dim"))
    body: list[str] = [element("header", *header)]
    if view.problem:
        body.append(element("p", "Not ready: ", view.problem, class_="bad"))
    if view.skipped:
        body.append(element("p", "The node carries the skip label: nothing is run until it is taken off."))
    if report is not None:
        why = WHY[view.trigger] if view.trigger else ""
        about = {
            "Last run": f"{report.completion_time}, because {why}" if why else report.completion_time,
            "Answers": f"run {view.run_id}" if view.run_id else "",
            "Kernel": f"{report.kernel_version} ({report.architecture})",
            "Boot": report.boot_id,
            "Probe version": report.agent_version,
        }
        body += [facts(about), element("h2", "Checks"), _results(report)]
    else:
        body.append(element("p", "No run has finished yet."))
    body.append(element("p", f"vm-preflight {view.version}", class_="dim"))
    return document(
        f"{view.node}: vm-preflight", *body, links=("/metrics", "/healthz", "/readyz", *view.links)
    )


def _verdict(view: View) -> Markup:
    if view.skipped:
        return badge("skipped", "dim")
    if view.report is None:
        return badge("not known yet", "odd")
    return badge("passed", "good") if view.report.passed else badge("did not pass", "bad")


def _results(report: Report) -> Markup:
    ordered = sorted(report.results, key=lambda result: result.passed)
    return table(
        ["Check", "Status", "Reason", "What was found, and what to do"], [_row(one) for one in ordered]
    )


def _row(result: Result) -> list[str]:
    found: list[str] = [element("span", result.message)]
    if result.hint and result.status not in (Status.PASS, Status.SKIP):
        found.append(hint(result.hint))
    status = result.status.value if result.passed else f"{result.status.value}, blocks"
    advisory = result.passed and result.status is Status.UNKNOWN
    tone = "odd" if advisory else TONES[result.status]
    return [result.check_name, badge(status, tone), result.reason, Markup("".join(found))]
