"""``kubectl vm-preflight --watch``: prints the nodes whose standing changes, as ``kubectl get -w`` does.

Three lists are kept current; an API server that goes away is told, and waited for.
"""

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from cli.cluster_access import say
from cli.cluster_view import View, is_skipped, look
from cli.nodes import Printer
from cli.standing import CheckView, Wire, check_view
from cluster.informer import Informer
from cluster.resources import CHECKS, NAMESPACE, NODE_PREFLIGHTS, NODES
from cluster.transport import Client

LOOK_SECONDS = 1.0
"""Between two looks at whether the API server answers, and how long it must to be said to answer again; what
changes is printed at once."""


def watch(client: Client, printer: Printer, *, selector: str) -> None:
    """Prints every node, then each that changes, until it is interrupted.

    Raises:
        NotDoneError: vm-preflight is not installed.
        ApiError: NodePreflights may not be listed, or the API server does not answer at the start.
        KeyboardInterrupt: It was interrupted.
    """
    first = look(client.limited(attempts=2), selector=selector)
    logging.getLogger("cluster").addHandler(logging.NullHandler())  # what it warns of is told here
    changed, failed = threading.Event(), threading.Event()
    look_again, note = changed.set, failed.set
    preflights: Informer[Wire] = Informer(
        client, NODE_PREFLIGHTS, dict, on_change=look_again, on_restart=note
    )
    nodes: Informer[bool] | None = None
    checks: Informer[CheckView] | None = None
    if first.skipped is not None:
        nodes = Informer(
            client, NODES, is_skipped, label_selector=selector, on_change=look_again, on_restart=note
        )
    if first.checks is not None:
        checks = Informer(
            client, CHECKS, check_view, namespace=NAMESPACE, on_change=look_again, on_restart=note
        )
    informers: list[Informer[Any]] = [one for one in (preflights, nodes, checks) if one is not None]
    for one in informers:
        one.start()

    def current() -> View | None:
        if not all(one.synced for one in informers):
            return None
        return View(
            preflights.items(),
            nodes.items() if nodes else None,
            list(checks.items().values()) if checks else None,
            first.runtime,
        )

    try:
        _follow(printer, current, changed, failed, informers)
    finally:
        for one in informers:
            one.stop()


def _follow(
    printer: Printer,
    current: Callable[[], View | None],
    changed: threading.Event,
    failed: threading.Event,
    informers: list[Informer[Any]],
) -> None:
    told, well_since = False, 0.0
    while True:
        changed.wait(LOOK_SECONDS)
        changed.clear()
        if view := current():
            printer.follow(view)
        away = next((one.error for one in informers if one.error), "")
        if away or failed.is_set():
            well_since = monotonic()
        if away and failed.is_set() and not told:
            say(f"{away}; trying again")
            told = True
        elif not away:
            failed.clear()
            # A watch that is accepted may end at once: a server that was started anew says 410 in the stream.
            if told and monotonic() - well_since >= LOOK_SECONDS:
                say("watching again")
                told = False
