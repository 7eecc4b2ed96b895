"""The agent's metrics: the last report as gauges, and counts of what was done since the start.

A collector of its own, made of one report: nothing of an earlier report can be left behind in a label.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.decide import Trigger
from preflight.report import Report
from preflight.result import Status

PREFIX = "vm_preflight_"

BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds: a healthy node takes some milliseconds, a run with a hanging check its time-out."""


class AgentMetrics(Collector):
    """What ``/metrics`` shows; written by the agent's threads, read by the HTTP server's."""

    def __init__(self, *, version: str, python: str, kernel: str) -> None:
        """Takes what is shown as ``build_info``."""
        self._build = (version, python, kernel)
        self._lock = threading.Lock()
        self._report: Report | None = None
        self._finished = 0.0
        self._skipped: bool | None = None
        self._probe_up = False
        self._runs = Counter(dict.fromkeys(Trigger, 0))
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._publish_errors: Counter[int] = Counter()

    def observe(self, report: Report, trigger: Trigger, *, seconds: float, finished: float) -> None:
        """Takes a finished run.

        Args:
            report: What was found.
            trigger: Why it was run.
            seconds: How long it took.
            finished: When it ended, in seconds since the epoch.
        """
        with self._lock:
            self._report = report
            self._finished = finished
            self._runs[trigger] += 1
            self._buckets[bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds

    def set_skipped(self, *, skipped: bool) -> None:
        """Says whether the node is skipped."""
        self._skipped = skipped

    def set_probe_up(self, *, up: bool) -> None:
        """Says whether the probe is reachable."""
        self._probe_up = up

    def count_publish_error(self, code: int) -> None:
        """Counts a status that could not be written, by HTTP status code; 0 where there was no answer."""
        with self._lock:
            self._publish_errors[code] += 1

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: names are known only where there is something to show."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Returns everything, as one moment's."""
        with self._lock:
            families = list(self._of_report(self._report)) if self._report else []
            families += self._of_process()
        return families

    def _of_report(self, report: Report) -> Iterable[Metric]:
        yield _gauge("passed", "Whether the node passed its last preflight run.", float(report.passed))
        passed = _labelled("check_passed", "Whether the check let the node pass; absent if skipped.", "check")
        status = _labelled("check_status", "1 on each check's outcome.", "check", "status", "reason")
        duration = _labelled("check_duration_seconds", "Time that the check took.", "check")
        for result in report.results:
            if result.status is not Status.SKIP:
                passed.add_metric([result.check_name], float(result.passed))
            status.add_metric([result.check_name, result.status.value, result.reason], 1.0)
            duration.add_metric([result.check_name], result.duration_seconds)
        yield from (passed, status, duration)
        mode = _labelled("mode", "1 on how VMs will run on the node.", "mode")
        if report.mode is not None:
            mode.add_metric([report.mode.value], 1.0)
        yield mode
        yield _gauge("last_run_timestamp_seconds", "When the last run ended.", self._finished)

    def _of_process(self) -> Iterable[Metric]:
        if self._skipped is not None:
            yield _gauge("skipped", "Whether the node is skipped for its label.", float(self._skipped))
        runs = CounterMetricFamily(
            f"{PREFIX}runs", "Preflight runs, by what started them.", labels=["trigger"]
        )
        for trigger, count in self._runs.items():
            runs.add_metric([trigger], count)
        yield runs
        histogram = HistogramMetricFamily(f"{PREFIX}run_duration_seconds", "Time that preflight runs took.")
        total, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._buckets, strict=True):
            total += count
            buckets.append((bound, float(total)))
        histogram.add_metric([], buckets, self._seconds)
        yield histogram
        yield _gauge("probe_up", "Whether the probe is reachable.", float(self._probe_up))
        errors = CounterMetricFamily(
            f"{PREFIX}publish_errors", "Statuses that could not be written, by HTTP status.", labels=["code"]
        )
        for code, count in self._publish_errors.items():
            errors.add_metric([str(code)], count)
        yield errors
        build = _labelled("build_info", "1 on what runs here.", "version", "python", "kernel")
        build.add_metric(list(self._build), 1.0)
        yield build


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, documentation, value=value)


def _labelled(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, documentation, labels=labels)
