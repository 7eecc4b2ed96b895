"""A report as text: a table for a person's terminal, stable plain lines for a pipe."""

from preflight.report import Mode, Report
from preflight.result import Result, Status, one_line

MARKS = {Status.PASS: "✔", Status.WARN: "!", Status.FAIL: "✘", Status.SKIP: "-", Status.UNKNOWN: "?"}
COLOURS = {Status.PASS: "32", Status.WARN: "33", Status.FAIL: "31", Status.SKIP: "2", Status.UNKNOWN: "35"}
BOLD = "1"
NARROWEST = 60
INDENT = " " * 12


def plain(report: Report) -> str:
    """Returns one line a result, one a hint, and the verdict last; meant for grep and awk.

    A line is ``NAME STATUS REASON message`` or ``NAME hint: text``.
    """
    lines = []
    for result in report.results:
        lines.append(
            f"{result.check_name} {result.status.value} {result.reason} {one_line(result.message)}".rstrip()
        )
        if result.hint and wants_hint(result):
            lines.append(f"{result.check_name} hint: {one_line(result.hint)}")
    mode = f" mode={report.mode.value}" if report.mode else ""
    lines.append(f"node {one_line(report.node)} {'passed' if report.passed else 'failed'}{mode}")
    return "\n".join(lines)


def wants_hint(result: Result) -> bool:
    """Whether a person has something to do about a result."""
    return result.status not in (Status.PASS, Status.SKIP)


def table(report: Report, *, width: int, colour: bool) -> str:
    """Returns the report for a terminal ``width`` columns wide, in ANSI colours if ``colour``.

    What is fine takes a line and stands first; what fails the node stands last, just above the verdict, where
    the eye is when the command has ended. A hint is never broken and has nothing in it but its own text.
    """

    def paint(text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if colour else text

    names = max([len(result.check_name) for result in report.results] or [0])
    lines = [paint(f"Can {one_line(report.node)} run virtual machines?", BOLD), ""]
    for result in sorted(report.results, key=_severity):
        mark = paint(f"{MARKS[result.status]} {result.status.value:<7}", COLOURS[result.status])
        start = f"  {mark} {result.check_name:<{names}}  "
        if not wants_hint(result):
            room = max(width, NARROWEST) - names - len("  ✔ Unknown   ")
            lines.append(start + one_line(f"{result.reason}: {result.message}", room))
            continue
        lines.append(start + (result.reason if result.passed else paint(result.reason, BOLD)))
        lines += [INDENT + line for line in fold(result.message, width - len(INDENT))]
        if result.hint:
            lines.append(INDENT + paint("→ " + one_line(result.hint), BOLD))
    good, line = verdict(report)
    lines += ["", paint(f"{'✔' if good else '✘'} {line}", COLOURS[Status.PASS if good else Status.FAIL])]
    return "\n".join(lines)


def _severity(result: Result) -> int:
    return 2 if not result.passed else 1 if wants_hint(result) else 0


def fold(text: str, width: int) -> list[str]:
    """Breaks a message at spaces into lines of at most ``width`` columns; a longer word keeps its line."""
    from textwrap import wrap

    return wrap(one_line(text), max(width, NARROWEST), break_long_words=False, break_on_hyphens=False)


def verdict(report: Report) -> tuple[bool, str]:
    """Returns whether the node passed, and the sentence that answers the question."""
    failed = [result.check_name for result in report.results if not result.passed]
    if not report.results:
        return False, "No: no check was run."
    if failed:
        return False, f"No: {', '.join(failed)} did not pass."
    if report.mode is None:
        return True, "What was asked passed. KVM was not asked, so this is no answer yet."
    if report.mode is Mode.NONE:
        return True, "Passed, but only because KVM is ignored: VMs cannot run here."
    if report.mode is Mode.EMULATION:
        return True, "Yes, under software emulation: slowly."
    return True, "Yes, with hardware virtualization."
