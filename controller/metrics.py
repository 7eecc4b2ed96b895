"""The controller's metrics, by the names of the project's public interface."""

import platform
from collections import Counter as Counts
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controller.standing import State
from controller.triggers import Trigger

BUCKETS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Seconds; from one node whose agent is there to a rollout's grace."""
RESULTS = ("Passed", "Failed", "Cancelled")
"""How a check ends."""


class Metrics:
    """The controller's metrics.

    Attributes:
        registry: What ``/metrics`` shows.
    """

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        prefix, registry = "vm_preflight_controller", self.registry
        self._nodes = Gauge(f"{prefix}_nodes", "Nodes by how they stand.", ["state"], registry=registry)
        self._gate_open: Gauge | None = None
        self._runs = Counter(
            f"{prefix}_runs",
            "Checks that ended, by what asked for them and how.",
            ["trigger", "result"],
            registry=registry,
        )
        for trigger in Trigger:  # from the start, so that rate() sees the first one
            for result in RESULTS:
                self._runs.labels(trigger.value, result)
        self._duration = Histogram(
            f"{prefix}_run_duration_seconds",
            "Time from picking a check up to its verdict.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._errors = Counter(
            f"{prefix}_reconcile_errors",
            "Writes that failed, by the kind of object.",
            ["kind"],
            registry=registry,
        )
        self._restarts = Counter(
            f"{prefix}_watch_restarts",
            "Watches that were begun anew after an error.",
            ["resource"],
            registry=registry,
        )
        self._leader = Gauge(f"{prefix}_leader", "Whether this controller leads.", registry=registry)
        info = Gauge(f"{prefix}_build_info", "Always 1.", ["version", "python"], registry=registry)
        info.labels(version, platform.python_version()).set(1)

    def leading(self, *, leads: bool) -> None:
        """Notes whether this controller leads."""
        self._leader.set(leads)

    def states(self, states: Iterable[State]) -> None:
        """Notes how every node stands."""
        counts = Counts(states)
        for state in State:
            self._nodes.labels(state.value).set(counts[state])

    def gate(self, *, is_open: bool) -> None:
        """Notes whether virtual machines can be created; absent before that, so on a standby."""
        if self._gate_open is None:
            self._gate_open = Gauge(
                "vm_preflight_controller_gate_open",
                "Whether virtual machines can be created (1) or not (0).",
                registry=self.registry,
            )
        self._gate_open.set(is_open)

    def run_ended(self, trigger: str, result: str, seconds: float | None) -> None:
        """Counts a check that ended; ``seconds`` is None for one that never started."""
        self._runs.labels(trigger, result).inc()
        if seconds is not None:
            self._duration.observe(max(seconds, 0.0))

    def failed(self, kind: str) -> None:
        """Counts a write that failed."""
        self._errors.labels(kind).inc()

    def watch_restarted(self, resource: str) -> None:
        """Counts a watch that was begun anew."""
        self._restarts.labels(resource).inc()
