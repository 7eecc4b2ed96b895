"""Actions that failed: each waits by itself, longer with each failure, and holds nothing else up."""

from collections.abc import Callable, Iterable

import structlog

from cluster.backoff import Backoff
from cluster.transport import ApiError
from controller import actions
from controller.actions import Action

log = structlog.get_logger()


class Retries:
    """Which actions are held back, and until when.

    Args:
        backoff: Delays after failures of one action.
        clock: Monotonic seconds.
        count: Called with the kind of object when a write failed.
    """

    def __init__(self, backoff: Backoff, clock: Callable[[], float], count: Callable[[str], None]) -> None:
        self._backoff = backoff
        self._clock = clock
        self._count = count
        self._failures: dict[str, tuple[int, float]] = {}

    def wanted(self, todo: Iterable[Action]) -> None:
        """Forgets failures of all that is not wanted any more: what failed then was carried out after all."""
        keys = {key_of(action) for action in todo}
        self._failures = {key: failure for key, failure in self._failures.items() if key in keys}

    def held(self, action: Action) -> bool:
        """Tells whether an action is to wait."""
        _, due = self._failures.get(key_of(action), (0, 0.0))
        return self._clock() < due

    def succeeded(self, action: Action) -> None:
        """Notes that an action was done."""
        self._failures.pop(key_of(action), None)

    def failed(self, action: Action, error: ApiError) -> None:
        """Notes a failure; a conflict only says that we looked too early, and waits no longer each time."""
        key = key_of(action)
        failures = self._failures.get(key, (0, 0.0))[0] + 1
        delay = self._backoff.delay(1 if error.conflict else failures, error.retry_after)
        self._failures[key] = (failures, self._clock() + delay)
        if error.conflict:
            log.debug("looked too early", action=key, error=str(error))
        else:
            log.warning("failed", action=key, error=str(error), again_in_seconds=round(delay, 1))
            self._count(key.partition(" ")[0])

    def due(self) -> list[float]:
        """Returns the seconds after which held actions are due."""
        now = self._clock()
        return [due - now for _, due in self._failures.values() if due > now]


def key_of(action: Action) -> str:
    """Names an action: the kind of its object, what is done, and to which."""
    match action:
        case actions.CreateRuntime() | actions.WriteRuntimeStatus():
            kind, name = "VMRuntime", ""
        case actions.CreateCheck(name, _):
            kind = "VMRuntimePreflightCheck"
        case (
            actions.NoteTrigger(check, _) | actions.DeleteCheck(check) | actions.WriteCheckStatus(check=check)
        ):
            kind, name = "VMRuntimePreflightCheck", check.name
        case actions.AskNode(node=node):
            kind, name = "NodePreflight", node.name
        case actions.DeleteNodePreflight(preflight):
            kind, name = "NodePreflight", preflight.name
        case actions.LabelNode(node, _) | actions.WriteNodeCondition(node, _):
            kind, name = "Node", node.name
        case actions.ApplyAgents() | actions.DeleteAgents():
            kind, name = "DaemonSet", ""
    return f"{kind} {type(action).__name__} {name}".rstrip()
