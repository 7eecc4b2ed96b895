import pytest

from cluster import shapes
from controller.truncation import LIMIT, fit, size


def results(*, passed: bool, message: str) -> list[object]:
    return [
        {
            "checkName": "KVM",
            "passed": passed,
            "message": message,
            "status": "Fail",
            "reason": "DeviceMissing",
        }
    ]


def status(
    passing: int, failing: int, *, message: str = "m" * 300, name: str = "node", done: bool = True
) -> dict[str, object]:
    good = {
        f"{name}-good-{number}": {"passed": True, "results": results(passed=True, message="ok")}
        for number in range(passing)
    }
    bad = {
        f"{name}-bad-{number}": {"passed": False, "results": results(passed=False, message=message)}
        for number in range(failing)
    }
    wire: dict[str, object] = {"checks": good | bad, "conditions": []}
    if done:
        wire |= {
            "completionTime": "2026-01-01T00:00:00Z",
            "pass": False,
            "failures": dict(list(bad.items())[:10]),
        }
    return wire


def test_a_small_status_is_left_as_it_is():
    wire = status(3, 3)
    assert fit(wire) == wire


def test_passing_nodes_lose_their_results_first():
    cut = fit(status(5000, 10))
    assert size(cut) <= LIMIT
    assert cut["truncated"] is True
    assert shapes.mapping(cut, "checks", "node-good-1") == {"passed": True}
    assert shapes.items(cut, "checks", "node-bad-1", "results")[0]["message"] == "m" * 300


def test_failed_nodes_messages_are_cut_next():
    cut = fit(status(0, 1500))
    assert size(cut) <= LIMIT
    (result,) = shapes.items(cut, "checks", "node-bad-1", "results")
    assert result["message"] == "m" * 160 + "…"
    assert result["reason"] == "DeviceMissing"


@pytest.mark.parametrize("count", [2500, 5000, 9000])
def test_every_node_is_still_named_with_its_verdict(count: int):
    cut = fit(status(0, count))
    assert size(cut) <= LIMIT
    assert len(shapes.mapping(cut, "checks")) == count
    assert not any(shapes.flag(cut, "checks", name, "passed") for name in shapes.mapping(cut, "checks"))


def test_failed_nodes_stay_longest_where_names_alone_are_too_large():
    cut = fit(status(5000, 100, name="n" * 240))
    assert size(cut) <= LIMIT
    names = list(shapes.mapping(cut, "checks"))
    assert sum("-bad-" in name for name in names) == 100
    assert len(names) > 1000


def test_a_running_check_shows_all_nodes_or_none():
    cut = fit(status(5000, 100, name="n" * 240, done=False))
    assert size(cut) <= LIMIT
    assert "checks" not in cut
    assert cut["truncated"] is True


def test_bytes_are_counted_not_characters():
    assert size({"a": "ä"}) == len('{"a":"ä"}'.encode())
    assert size({"a": "\ud800"}) == len('{"a":"?"}')
