"""What the controller's metrics say before anything has happened."""

from prometheus_client import generate_latest

from controller.metrics import Metrics
from controller.triggers import Trigger


def lines(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


def test_every_count_of_runs_begins_at_nought() -> None:
    metrics = Metrics("1")
    counts = [line for line in lines(metrics) if line.startswith("vm_preflight_controller_runs_total{")]
    assert sorted(counts) == sorted(
        f'vm_preflight_controller_runs_total{{result="{result}",trigger="{trigger}"}} 0.0'
        for trigger in Trigger
        for result in ("Passed", "Failed", "Cancelled")
    )
    metrics.run_ended("Requested", "Failed", 1.0)
    assert 'vm_preflight_controller_runs_total{result="Failed",trigger="Requested"} 1.0' in lines(metrics)


def test_a_standby_says_nothing_of_the_gate() -> None:
    metrics = Metrics("1")
    assert "gate_open" not in "\n".join(lines(metrics))
    for is_open in (True, False):
        metrics.gate(is_open=is_open)
        assert f"vm_preflight_controller_gate_open {float(is_open)}" in lines(metrics)
