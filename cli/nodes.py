"""``kubectl vm-preflight``: how every node stands, a line a node."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from cli import output
from cli.cluster_access import cluster_options, connection
from cli.cluster_view import View, look
from cli.columns import GAP, NONE, age, line, widths
from cli.gate import summary
from cli.options import Parser, choice
from cli.standing import Standing, Wire
from cluster.shapes import mapping
from controller.standing import State
from preflight.result import one_line

HEADER = ("NODE", "VERDICT", "MODE", "FAILED", "REASON", "AGE")
WIDE = ("CHECK", "WARNED", "KERNEL", "AGENT")
COLOURS = {
    State.PASSED: "32",
    State.FAILED: "31",
    State.PENDING: "33",
    State.SKIPPED: "2",
    State.UNKNOWN: "35",
}
VERDICT = HEADER.index("VERDICT")


def main(program: str, words: Sequence[str]) -> int:
    """Shows how every node stands, once or, with ``--watch``, on and on.

    Returns:
        0; what the nodes' verdicts are does not matter.
    """
    parser = Parser(program, "Shows which nodes can run virtual machines, and what is wrong with the others.")
    parser.option(
        "--output",
        choice("wide", "json", "yaml"),
        short="-o",
        default=None,
        metavar="wide|json|yaml",
        help="more columns, or the NodePreflights themselves",
    )
    parser.option(
        "--selector", str, short="-l", default="", metavar="LABELS", help="only nodes with these labels"
    )
    parser.flag("--watch", short="-w", help="go on, and print the nodes that change")
    parser.flag("--no-headers", help="leave the first line out")
    cluster_options(parser)
    options = parser.parse_args(words)
    with connection(options) as client:
        printer = Printer(options.output or "", headers=not options.no_headers)
        if options.watch:
            from cli.watching import watch

            watch(client, printer, selector=options.selector)
        printer.show(look(client.limited(attempts=2), selector=options.selector))
    return 0


class Printer:
    """Prints nodes, in the form that was asked for.

    Args:
        form: ``wide``, ``json``, ``yaml``, or empty for the table.
        headers: Whether a table has a first line of names.
    """

    def __init__(self, form: str, *, headers: bool) -> None:
        self._form = form
        self._headers = headers
        self._widths: list[int] = []
        self._printed = False
        self._shown: Mapping[str, object] = {}
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        if form in ("json", "yaml"):
            output.as_utf8()

    def show(self, view: View) -> None:
        """Prints a cluster, and for a person on a terminal what follows from it."""
        if self._form in ("json", "yaml"):
            shown = [without_managed_fields(view.preflights[name]) for name in chosen(view)]
            self._print(
                {"apiVersion": "v1", "kind": "List", "items": shown, "metadata": {"resourceVersion": ""}}
            )
            return
        self.rows(view.standings())
        if sys.stdout.isatty():
            print("\n" + "\n".join(summary(view, datetime.now(UTC))), file=sys.stderr, flush=True)

    def rows(self, standings: Sequence[Standing]) -> None:
        """Prints a row each; columns stay as wide as they were, so that rows that come later fit."""
        now = datetime.now(UTC)
        cells = [row(one, now, wide=self._form == "wide") for one in standings]
        header = [HEADER + WIDE if self._form == "wide" else HEADER]
        if not standings and not self._widths:
            print("No nodes found.", file=sys.stderr)
            return
        if not self._widths:
            self._widths = widths([*header, *cells])
            cells = [*header, *cells] if self._headers else cells
        for one in cells:
            print(self._painted(line(one, self._widths), one))
        sys.stdout.flush()

    def follow(self, view: View) -> None:
        """Prints the nodes that are not as they were when this was called before."""
        if self._form in ("json", "yaml"):
            wires = {name: view.preflights[name] for name in chosen(view)}
            for name, wire in wires.items():
                if self._shown.get(name) != wire:
                    self._print(without_managed_fields(wire))
            self._shown = wires
            return
        standings = {one.node: one for one in view.standings()}
        if rows := [one for name, one in standings.items() if self._shown.get(name) != one]:
            self.rows(rows)
        self._shown = standings

    def _painted(self, text: str, cells: Sequence[str]) -> str:
        verdict = cells[VERDICT]
        if not self._colour or verdict not in COLOURS:
            return text
        at = max(len(cells[0]), self._widths[0]) + GAP
        return f"{text[:at]}\033[{COLOURS[State(verdict)]}m{verdict}\033[0m{text[at + len(verdict) :]}"

    def _print(self, wire: Wire) -> None:
        if self._form == "json":
            print(json.dumps(wire, indent=4, ensure_ascii=False))
        else:
            import yaml

            if self._printed:
                print("---")
            self._printed = True
            print(yaml.safe_dump(wire, allow_unicode=True), end="")
        sys.stdout.flush()


def chosen(view: View) -> list[str]:
    """Returns the names of the nodes that have a NodePreflight and are to be shown."""
    return sorted(name for name in view.preflights if view.skipped is None or name in view.skipped)


def row(one: Standing, now: datetime, *, wide: bool) -> tuple[str, ...]:
    """Returns a node's row; whatever is in it is fit for a terminal, and no cell has a space in it."""
    cells = [one.node, one.state.value, one.mode, ",".join(one.failed), one.reason, age(one.since, now)]
    if wide:
        cells += [one.check, ",".join(one.warned), one.kernel, one.agent]
    return tuple(one_line(cell).replace(" ", "_") or NONE for cell in cells)


def without_managed_fields(wire: Wire) -> Wire:
    """Returns an object as kubectl prints it."""
    metadata = {key: value for key, value in mapping(wire, "metadata").items() if key != "managedFields"}
    return {**wire, "metadata": metadata}
