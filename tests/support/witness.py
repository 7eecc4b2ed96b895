"""Sees what happens to the objects of a cluster, and judges in the end that nothing was lost or wrong.

It watches the API server itself, apart from the controller and the agents and from whatever is done to them.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

import vmkinds
import waiting
from controllerlab import ControllerLab

from cluster import node_preflight, shapes
from cluster.backoff import Backoff
from cluster.informer import Informer
from cluster.resources import (
    CHECKS,
    NAMESPACE,
    NODE_PREFLIGHTS,
    NODES,
    SKIP_LABEL,
    TRIGGER_ANNOTATION,
    VM_RUNTIMES,
    Resource,
)

Wire = Mapping[str, object]
SECONDS = 60.0
QUIET_SECONDS = 0.7
"""So long nothing may be written for a cluster to count as settled; a controller looks again at once."""


class Expected(NamedTuple):
    """A check that must have been there.

    Attributes:
        trigger: What asked for it.
        passed: Its verdict; None for one that was cancelled.
    """

    trigger: str
    passed: bool | None


class End(NamedTuple):
    """A check's end, as its status has it."""

    completed: str
    passed: bool | None
    nodes: Mapping[str, object]


@dataclass
class Seen:
    """A check as it was seen.

    Attributes:
        name: Its name.
        order: When it was created, and its place among those of that second.
        trigger: Its trigger annotation.
        ends: Its different ends; an honest check has one.
    """

    name: str
    order: tuple[str, int]
    trigger: str = ""
    ends: list[End] = field(default_factory=list)


class Witness:
    """Watches checks, NodePreflights and the VMRuntime.

    Attributes:
        checks: Every check that was ever seen, by unique id.
        answers: What each node answered to each check, by the check's unique id and the node.
        writes: How many writes of these objects were seen.
    """

    def __init__(self, lab: ControllerLab) -> None:
        self.checks: dict[str, Seen] = {}
        self.answers: dict[tuple[str, str], set[bool]] = {}
        self.writes = 0
        self._lab = lab
        self._lock = threading.Lock()
        self._versions: set[tuple[str, str]] = set()
        self._watched: tuple[tuple[Resource, str, Callable[[Wire], None]], ...] = (
            (CHECKS, NAMESPACE, self._check),
            (NODE_PREFLIGHTS, "", self._preflight),
            (VM_RUNTIMES, "", lambda _: None),
        )
        self._informers = [self._informer(*one) for one in self._watched]

    def __enter__(self) -> Self:
        for informer in self._informers:
            informer.start()
        for informer in self._informers:
            assert informer.wait_synced(SECONDS), informer.error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for informer in self._informers:
            informer.stop()

    def until_quiet(self) -> None:
        """Waits until nothing is written any more, and all that was written has been seen.

        Raises:
            AssertionError: Somebody writes and writes.
        """
        last, since = self.writes, time.monotonic()

        def quiet() -> bool:
            nonlocal last, since
            if self.writes != last:
                last, since = self.writes, time.monotonic()
            return time.monotonic() - since > QUIET_SECONDS and self._has_caught_up()

        waiting.until(quiet, "nothing is written any more", seconds=SECONDS)

    def _has_caught_up(self) -> bool:
        """Whether the watches show what is there: after an outage they come back later than others do."""
        there = {
            (resource.plural, shapes.text(one, "metadata", "resourceVersion"))
            for resource, namespace, _ in self._watched
            for one in self._list(resource, namespace)
        }
        with self._lock:
            return there <= self._versions

    def judge(self, *expected: Expected, enabled: bool) -> None:
        """Holds what is there and what happened against what must be.

        Args:
            expected: The checks that must have been, in order: no other, each once.
            enabled: Whether the runtime is on in the end.

        Raises:
            AssertionError: Something was lost, doubled or wrong.
        """
        self.until_settled(enabled=enabled)
        assert self.wrongs(expected) == []

    def until_settled(self, *, enabled: bool) -> None:
        """Waits until what is there belongs together, and nothing is written any more.

        That it is quiet alone says little: who has to put things right may be slow to begin, or begin when
        nothing had been written for a while.

        Args:
            enabled: Whether the runtime is on.

        Raises:
            AssertionError: Something does not belong together.
        """
        found: list[str] = []

        def consistent() -> bool:
            found[:] = self.inconsistencies(enabled=enabled)
            return not found

        def settled() -> bool:
            if not consistent():
                return False
            self.until_quiet()
            return consistent()

        try:
            waiting.until(settled, "a consistent cluster", seconds=SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}: {'; '.join(found)}") from None

    def wrongs(self, expected: Sequence[Expected]) -> list[str]:
        """Returns what was lost, doubled or wrong in all that has happened."""
        seen = sorted(self.checks.items(), key=lambda one: one[1].order)
        told = [Expected(one.trigger, one.ends[0].passed if one.ends else None) for _, one in seen]
        wrong = [] if told == list(expected) else [f"checks {told}, expected {list(expected)}"]
        for uid, check in seen:
            if len(check.ends) != 1:
                wrong.append(f"{check.name} has {len(check.ends)} ends: {check.ends}")
            for end in check.ends:
                wrong += self._wrong_nodes(uid, check.name, end)
        return wrong

    def _wrong_nodes(self, uid: str, name: str, end: End) -> Iterable[str]:
        verdicts = {node: shapes.at(entry, "passed") for node, entry in end.nodes.items()}
        for node, verdict in verdicts.items():
            answers = self.answers.get((uid, node), set())
            if verdict not in answers:
                yield f"{name}: {node} is said to be {verdict}, but answered {answers or 'nothing'}"
        if end.passed is not None and end.passed != (bool(verdicts) and all(verdicts.values())):
            yield f"{name}: pass is {end.passed}, of {verdicts}"

    def inconsistencies(self, *, enabled: bool) -> list[str]:
        """Returns what of the present state does not belong together."""
        lab = self._lab
        runtime, summary = lab.runtime(), lab.summary()
        checks = self._list(CHECKS, NAMESPACE)
        finished = [one for one in checks if "pass" in shapes.mapping(one, "status")]
        newest = max(finished, key=_age, default={})
        status = shapes.mapping(runtime, "status")
        generation = shapes.number(runtime, "metadata", "generation")
        last = shapes.mapping(summary, "lastCompleted")
        passed = shapes.at(newest, "status", "pass")
        under = last.get("name") == _name(newest) or (
            shapes.at(newest, "status", "enabledGeneration") == status.get("enabledGeneration")
        )
        verdict = passed if enabled and under else None
        claims: list[tuple[str, object, object]] = [
            ("status.enabled", status.get("enabled"), enabled),
            ("status.observedGeneration", status.get("observedGeneration"), generation),
            ("status.pendingCheck", status.get("pendingCheck"), None),
            ("status.ready", status.get("ready"), verdict is True),
            ("summary's name", summary.get("preflightCheckName"), _name(newest) or None),
            ("summary's pass", summary.get("preflightCheckPassed"), passed),
            ("lastCompleted.passed", last.get("passed"), verdict),
            ("unfinished checks", [_name(one) for one in checks if not _ended(one)], []),
            ("a DaemonSet", bool(lab.daemon_set()), enabled),
            ("the gate is open", vmkinds.would_be_created(self._lab.plane), not enabled or verdict is True),
            *self._node_preflights(enabled=enabled),
        ]
        if verdict is not None:
            claims.append(("lastCompleted.name", last.get("name"), _name(newest)))
        if not enabled:
            claims.append(("agents' pods", len(lab.pods()), 0))
        return [f"{what} is {is_!r}, must be {must!r}" for what, is_, must in claims if is_ != must]

    def _node_preflights(self, *, enabled: bool) -> Iterable[tuple[str, object, object]]:
        nodes = {_name(one): one for one in self._list(NODES)} if enabled else {}
        preflights = {_name(one): node_preflight.from_object(one) for one in self._list(NODE_PREFLIGHTS)}
        yield "NodePreflights", sorted(preflights), sorted(nodes)
        spec = shapes.mapping(self._lab.runtime(), "spec")
        ignored = sorted(shapes.words(spec, "preflight", "ignoredChecks"))
        wanted = (shapes.flag(spec, "useEmulation"), ignored)
        for name in preflights.keys() & nodes.keys():
            preflight, node = preflights[name], nodes[name]
            skipped = SKIP_LABEL in shapes.mapping(node, "metadata", "labels")
            yield f"the owner of {name}", preflight.node_uid, shapes.text(node, "metadata", "uid")
            yield f"{name}'s spec.skip", preflight.skip, skipped
            yield f"{name}'s unanswered run", preflight.pending, None
            yield f"{name}'s spec.config", (preflight.use_emulation, list(preflight.ignored_checks)), wanted

    def _list(self, resource: Resource, namespace: str = "") -> Sequence[Wire]:
        return shapes.items(self._lab.client.list(resource.path(namespace=namespace)), "items")

    def _informer(self, resource: Resource, namespace: str, note: Callable[[Wire], None]) -> Informer[str]:
        def project(wire: Wire) -> str:
            version = shapes.text(wire, "metadata", "resourceVersion")
            with self._lock:
                if (resource.plural, version) not in self._versions:  # else it is listed once more
                    self._versions.add((resource.plural, version))
                    self.writes += 1
                    note(wire)
            return version

        backoff = Backoff(base=0.1, cap=0.5, random=random.random)
        return Informer(
            self._lab.client,
            resource,
            project,
            namespace=namespace,
            on_change=lambda: None,
            backoff=backoff,
        )

    def _check(self, wire: Wire) -> None:
        uid, created = (
            shapes.text(wire, "metadata", "uid"),
            shapes.text(wire, "metadata", "creationTimestamp"),
        )
        known = self.checks.setdefault(uid, Seen(_name(wire), (created, len(self.checks))))
        known.trigger = shapes.text(wire, "metadata", "annotations", TRIGGER_ANNOTATION)
        status = shapes.mapping(wire, "status")
        if _ended(wire):
            passed = status.get("pass")
            end = End(
                shapes.text(status, "completionTime"),
                passed if isinstance(passed, bool) else None,
                shapes.mapping(status, "checks"),
            )
            if end not in known.ends:
                known.ends.append(end)

    def _preflight(self, wire: Wire) -> None:
        found = node_preflight.from_object(wire)
        if found.status is not None and found.status.run_id and found.status.passed is not None:
            self.answers.setdefault((found.status.run_id, found.name), set()).add(found.status.passed)


def _name(wire: Wire) -> str:
    return shapes.text(wire, "metadata", "name")


def _age(wire: Wire) -> tuple[str, str]:
    return shapes.text(wire, "metadata", "creationTimestamp"), _name(wire)


def _ended(wire: Wire) -> bool:
    return "completionTime" in shapes.mapping(wire, "status")
