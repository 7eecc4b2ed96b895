from datetime import UTC, datetime

import pytest

from cluster.node_preflight import NodePreflight, NodeStatus, RunRequest, from_object, spec_body

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = RunRequest("u1", "check-1", MOMENT)


def test_what_the_controller_writes_is_what_the_agent_reads() -> None:
    body = spec_body(
        "n1", node_uid="nu", skip=True, use_emulation=True, ignored_checks=["Tun", "KVM", "Tun"], run=RUN
    )
    assert body["apiVersion"] == "kubevm.io/v1alpha1"
    assert body["kind"] == "NodePreflight"
    assert body["spec"] == {
        "skip": True,
        "config": {"useEmulation": True, "ignoredChecks": ["KVM", "Tun"]},
        "run": {"id": "u1", "check": "check-1", "deadline": "2026-01-02T03:04:05Z"},
    }
    assert from_object(body) == NodePreflight(
        name="n1",
        node_uid="nu",
        skip=True,
        use_emulation=True,
        ignored_checks=("KVM", "Tun"),
        run=RUN,
    )


def test_no_run_is_left_out_so_that_applying_withdraws_it() -> None:
    assert spec_body("n1", node_uid="nu")["spec"] == {
        "skip": False,
        "config": {"useEmulation": False, "ignoredChecks": []},
    }


def test_what_the_agent_writes_is_what_the_controller_reads() -> None:
    status = NodeStatus(
        run_id="u1",
        passed=False,
        mode="None",
        results=({"checkName": "KVM", "passed": False},),
        start_time=MOMENT,
        completion_time=MOMENT,
        boot_id="b",
        kernel_version="6.18",
        agent_version="0.1.0",
    )
    assert from_object({"metadata": {"name": "n1"}, "status": status.to_dict()}).status == status


def test_absent_values_are_taken_away_by_a_merge_patch() -> None:
    wire = NodeStatus().to_dict()
    assert wire["passed"] is None
    assert wire["mode"] is None
    assert wire["results"] == []


def test_a_node_that_has_written_nothing_is_unknown() -> None:
    assert from_object({"metadata": {"name": "n1"}, "status": {}}).status is None
    written = from_object({"status": {"passed": "yes", "results": [1, {"checkName": "KVM"}]}}).status
    assert written == NodeStatus(passed=None, results=({"checkName": "KVM"},))


@pytest.mark.parametrize(
    ("run", "status", "skip", "pending"),
    [
        (None, None, False, None),
        (RUN, None, False, RUN),
        (RUN, NodeStatus(run_id="u0"), False, RUN),
        (RUN, NodeStatus(run_id="u1"), False, None),
        (RUN, None, True, None),
    ],
)
def test_pending(
    run: RunRequest | None, status: NodeStatus | None, skip: bool, pending: RunRequest | None
) -> None:
    assert NodePreflight("n1", run=run, status=status, skip=skip).pending == pending


def test_an_owner_of_another_kind_is_no_node() -> None:
    owners = [
        {"kind": "Pod", "apiVersion": "v1", "uid": "p"},
        {"kind": "Node", "apiVersion": "v1", "uid": "n"},
    ]
    assert from_object({"metadata": {"ownerReferences": owners}}).node_uid == "n"
