"""How far a check has come, on standard error: a bar on a terminal, else a line where something changed."""

import os
import sys
from collections.abc import Mapping

from cli.cluster_access import say
from cluster.shapes import flag, items, mapping, text
from preflight.result import one_line

BAR = 24
"""Columns of the bar."""
NAMED = 3
"""Nodes that are named while they are waited for."""


class Progress:
    """Shows a check's progress."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = ""

    def show(self, check: Mapping[str, object]) -> None:
        """Shows how far a VMRuntimePreflightCheck has come, where that is not shown yet."""
        line = told(check, bar=self._live)
        if not line or line == self._shown:
            return
        self._shown = line
        if self._live:
            # the cursor goes back at once: whatever is printed next stands in the bar's place
            print(
                f"\r\033[K{one_line(line, max(_columns() - 1, BAR))}\r", end="", file=sys.stderr, flush=True
            )
        else:
            say(line)

    def end(self) -> None:
        """Takes the bar away."""
        if self._live and self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def told(check: Mapping[str, object], *, bar: bool) -> str:
    """Returns a line that says how far a check has come; empty before anybody has looked at it. Pure."""
    nodes = mapping(check, "status", "checks")
    if not text(check, "status", "startTime"):
        queued = [one for one in items(check, "status", "conditions") if text(one, "type") == "Complete"]
        return one_line(text(queued[0], "message")) if queued else ""
    waiting = sorted(name for name, answer in nodes.items() if "passed" not in mapping({"": answer}, ""))
    failed = len(nodes) - len(waiting) - sum(flag(answer, "passed") for answer in nodes.values())
    answered = len(nodes) - len(waiting)
    line = f"{answered} of {len(nodes)} node{'' if len(nodes) == 1 else 's'} answered"
    line += f", {failed} failed" if failed else ""
    if waiting and answered:
        some = ", ".join(waiting[:NAMED]) + (", …" if len(waiting) > NAMED else "")
        line += f", waiting for {some}"
    if not bar:
        return one_line(line)
    filled = BAR * answered // len(nodes) if nodes else BAR
    return f"[{'#' * filled}{'-' * (BAR - filled)}] {one_line(line)}"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
