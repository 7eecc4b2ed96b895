"""The agent's metrics: names, types and labels as users hold on to them."""

import subprocess
from pathlib import Path

import pytest
import reports
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent.decide import Trigger
from agent.metrics import BUCKETS, AgentMetrics
from preflight.report import Mode

GOLDEN = Path(__file__).parent / "metrics.txt"


@pytest.fixture
def metrics() -> AgentMetrics:
    return AgentMetrics(version="1.0", python="3.11.7", kernel="6.18.0")


def text(metrics: AgentMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def names(metrics: AgentMetrics) -> set[str]:
    return {family.name for family in metrics.collect()}


def after_some_runs(metrics: AgentMetrics) -> AgentMetrics:
    metrics.set_skipped(skipped=False)
    metrics.set_probe_up(up=True)
    metrics.observe(reports.report(mode=Mode.HARDWARE), Trigger.STARTUP, seconds=0.004, finished=1000.0)
    results = [
        result._replace(duration_seconds=0.001 * number) for number, result in enumerate(reports.EVERY_STATUS)
    ]
    metrics.observe(reports.report(*results), Trigger.REQUESTED, seconds=0.25, finished=1764000000.5)
    metrics.observe(reports.report(*results), Trigger.DEVICE, seconds=500.0, finished=1764000000.5)
    for code in (409, 500, 0, 409):
        metrics.count_publish_error(code)
    return metrics


def test_is_what_users_hold_on_to(metrics: AgentMetrics) -> None:
    assert text(after_some_runs(metrics)) == GOLDEN.read_text()


def test_verdict_is_absent_before_the_first_run(metrics: AgentMetrics) -> None:
    assert names(metrics) == {
        "vm_preflight_runs",
        "vm_preflight_run_duration_seconds",
        "vm_preflight_probe_up",
        "vm_preflight_publish_errors",
        "vm_preflight_build_info",
    }


def test_nothing_of_an_earlier_report_is_left(metrics: AgentMetrics) -> None:
    after_some_runs(metrics)
    metrics.observe(reports.report(mode=None), Trigger.INTERVAL, seconds=0.1, finished=1.0)
    shown = text(metrics)
    assert "DeviceMissing" not in shown
    assert 'mode="' not in shown
    assert "vm_preflight_last_run_timestamp_seconds 1.0\n" in shown


@pytest.mark.parametrize(
    ("seconds", "first"), [(0.0, 0), (BUCKETS[0], 0), (BUCKETS[1], 1), (1e9, len(BUCKETS))]
)
def test_a_run_counts_in_every_bucket_that_holds_it(
    metrics: AgentMetrics, seconds: float, first: int
) -> None:
    metrics.observe(reports.report(), Trigger.INTERVAL, seconds=seconds, finished=1.0)
    (histogram,) = (one for one in metrics.collect() if one.type == "histogram")
    counts = [sample.value for sample in histogram.samples if sample.name.endswith("_bucket")]
    assert counts == [0.0] * first + [1.0] * (len(BUCKETS) + 1 - first)


def test_openmetrics_parses(metrics: AgentMetrics) -> None:
    registry = CollectorRegistry()
    registry.register(after_some_runs(metrics))
    families = {
        family.name for family in text_string_to_metric_families(generate_openmetrics(registry).decode())
    }
    assert families == names(metrics)


def test_promtool_accepts_them(metrics: AgentMetrics, promtool: Path) -> None:
    for shown in (text(metrics), text(after_some_runs(metrics))):
        done = subprocess.run(
            [promtool, "check", "metrics"], input=shown, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
