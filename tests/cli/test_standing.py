"""How a node stands, row by row; pure."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.cluster_view import View
from cli.gate import gate, summary
from cli.node_report import of_check, result
from cli.nodes import row
from cli.progress import told as progress
from cli.standing import Standing, check_view, stand, told_by_check
from cli.text import plain
from cluster.node_preflight import NodePreflight, NodeStatus, RunRequest
from controller.standing import State
from preflight.result import Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KVM = {"checkName": "KVM", "status": "Fail", "passed": False, "reason": "DeviceMissing", "message": "no"}
TUN = {"checkName": "Tun", "status": "Unknown", "passed": False, "reason": "AccessDenied", "message": "no"}
VHOST = {
    "checkName": "VhostNet",
    "status": "Warn",
    "passed": True,
    "reason": "DeviceMissing",
    "message": "no",
}
SILENT = {
    "checkName": "Agent",
    "status": "Unknown",
    "passed": False,
    "reason": "NoAgentPod",
    "message": "no answer\nsee why: kubectl",
}


def preflight(passed=None, *results, run="", answered="", skip=False, at=NOW):
    status = NodeStatus(answered, passed, "Hardware", results, at, at) if passed is not None else None
    return NodePreflight("n1", skip=skip, run=RunRequest(run, "check-1") if run else None, status=status)


def ended_check(nodes, *, uid="c1"):
    return check_view(
        {
            "metadata": {"name": "check-1", "uid": uid, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"completionTime": "2026-01-01T00:02:00Z", "pass": False, "checks": nodes},
        }
    )


GIVEN_UP = ended_check({"n1": {"passed": False, "results": [SILENT]}})
LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("seen", "skipped", "check", "state", "failed", "reason"),
    [
        (None, False, None, State.UNKNOWN, (), "NotChecked"),
        (preflight(), False, None, State.UNKNOWN, (), "NoAnswerYet"),
        (preflight(run="c1"), False, None, State.PENDING, (), "Running"),
        (preflight(True, run="c1", answered="c0"), False, None, State.PENDING, (), "Running"),
        (preflight(True, run="c1", answered="c1"), False, None, State.PASSED, (), ""),
        (preflight(True, VHOST), False, None, State.PASSED, (), ""),
        (preflight(False, KVM, VHOST, TUN), False, None, State.FAILED, ("KVM", "Tun"), "DeviceMissing"),
        (preflight(False), False, None, State.FAILED, (), ""),
        (preflight(False, KVM), True, None, State.SKIPPED, (), "SkipLabel"),
        (preflight(False, KVM, skip=True), False, GIVEN_UP, State.SKIPPED, (), "SkipLabel"),
        (None, True, None, State.SKIPPED, (), "SkipLabel"),
        (None, False, ended_check({"n1": {}}), State.UNKNOWN, (), "NotChecked"),
        (None, False, ended_check({"n1": {"passed": True}}), State.PASSED, (), ""),
        (
            None,
            False,
            ended_check({"n1": {"passed": False, "results": [KVM]}}),
            State.FAILED,
            ("KVM",),
            "DeviceMissing",
        ),
        (preflight(), False, ended_check({"n1": {"passed": True}}), State.PASSED, (), ""),
        (
            preflight(True, run="c1", answered="c1"),
            False,
            ended_check({"n1": {"passed": False}}),
            State.PASSED,
            (),
            "",
        ),
        (None, False, GIVEN_UP, State.FAILED, ("Agent",), "NoAgentPod"),
        (preflight(run="c1"), False, GIVEN_UP, State.FAILED, ("Agent",), "NoAgentPod"),
        (preflight(True, run="c1", answered="c0"), False, GIVEN_UP, State.FAILED, ("Agent",), "NoAgentPod"),
        (preflight(True, run="c1", answered="c1"), False, GIVEN_UP, State.PASSED, (), ""),
        (preflight(True, answered="c0", at=LATER), False, GIVEN_UP, State.PASSED, (), ""),
    ],
)
def test_a_node_stands(seen, skipped, check, state, failed, reason):
    found = stand("n1", seen, skipped=skipped, check=check)
    assert (found.state, found.failed, found.reason) == (state, failed, reason)


def test_what_others_wrote_is_fit_for_a_terminal_and_for_awk():
    hostile = Standing(
        "n\033[31m1", State.FAILED, "None", ("K V\nM",), "\x07", None, kernel="6.1\x1b]0;x\x07"
    )
    cells = row(hostile, NOW, wide=True)
    assert all(cell.isprintable() and " " not in cell and cell for cell in cells)


@pytest.mark.parametrize("wire", [{}, {"status": "Nonsense", "passed": "yes", "message": 5, "hint": []}])
def test_a_result_edited_into_nonsense_is_no_pass(wire):
    assert (result(wire).status, result(wire).passed) == (Status.UNKNOWN, False)


def runtime(*, enabled=True, in_force=True, last=None, **annotations):
    summary = {"lastCompleted": last} if last else {}
    return {
        "metadata": {"annotations": annotations},
        "spec": {"enabled": enabled},
        "status": {"enabled": in_force, "preflightCheckSummary": summary},
    }


FAILED = {"name": "c1", "passed": False, "completionTime": "2025-12-31T23:59:00Z", "failedFeatures": ["KVM"]}


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({}, "There is no VMRuntime. The controller makes it"),
        (runtime(enabled=False, in_force=False), "The VM runtime is disabled"),
        (runtime(enabled=False), "VMs are refused: the VM runtime is being switched off"),
        (runtime(**{"kubevm.io/disabling": "true"}), "VMs are refused: the VM runtime is being switched off"),
        (runtime(), "VMs are refused: no check has finished"),
        (runtime(last=FAILED), "VMs are refused: c1 failed 60s ago (KVM)."),
        (
            runtime(last={"name": "c1", "passed": False, "message": "no node took part"}),
            "VMs are refused: c1 failed (no node took part).",
        ),
        (runtime(last={**FAILED, "passed": True}), "VMs can be created: c1 passed 60s ago."),
    ],
)
def test_what_is_said_of_the_gate(seen, told):
    assert gate(seen, NOW).startswith(told)


def test_the_summary_counts_and_names_the_next_command():
    failed = {"metadata": {"name": "n2"}, "status": {"passed": False, "results": [KVM]}}
    view = View({"n2": failed}, {"n1": True, "n2": False}, [GIVEN_UP], runtime())
    lines = list(summary(view, NOW))
    assert lines[0] == "2 nodes: 1 failed, 1 skipped."
    assert lines[-1] == "Why, and what to do: kubectl vm-preflight explain n2"


def test_a_cancelled_check_takes_no_verdict_back():
    later = {"metadata": {"name": "z", "creationTimestamp": "2026-01-01T00:01:00Z"}}
    cancelled = check_view({**later, "status": {"completionTime": "2026-01-01T00:03:00Z", "checks": {}}})
    view = View({}, {"n1": False}, [ended_check({"n1": {"passed": True}}), cancelled])
    assert [one.state for one in view.standings()] == [State.PASSED]


def test_who_may_not_see_nodes_sees_those_that_the_last_check_names():
    view = View({}, None, [ended_check({"n1": {"passed": True}})])
    assert [(one.node, one.state) for one in view.standings()] == [("n1", State.PASSED)]


NO_NODES = {"name": "c1", "passed": False, "message": "too few"}


@pytest.mark.parametrize(
    ("last", "passed", "told"),
    [
        (FAILED, True, "No node fails any more. Check again: kubectl vm-preflight run"),
        (FAILED, False, "Why, and what to do: kubectl vm-preflight explain n1"),
        (FAILED, None, "VMs are refused: c1 failed 60s ago (KVM)."),
        (NO_NODES, True, "VMs are refused: c1 failed (too few)."),
    ],
)
def test_a_closed_gate_has_a_next_command(last, passed, told):
    one = {"metadata": {"name": "n1"}, "status": {} if passed is None else {"passed": passed}}
    view = View({"n1": one}, {"n1": False}, [], runtime(last=last))
    assert list(summary(view, NOW))[-1] == told


@pytest.mark.parametrize(
    ("reason", "told"), [("RollingOut", ["Agents: no agent serves n1"]), ("NotWanted", [])]
)
def test_missing_agents_are_told_where_they_are_wanted(reason, told):
    condition = {
        "type": "AgentsRolledOut",
        "status": "False",
        "reason": reason,
        "message": "no agent serves n1",
    }
    seen = runtime()
    seen["status"]["conditions"] = [condition]
    assert [line for line in summary(View({}, {}, [], seen), NOW) if "Agents" in line] == told


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def some(**fields):
    """Objects whose fields hold what they should, anything else, or nothing."""
    return st.fixed_dictionaries({}, optional={key: value | JSON for key, value in fields.items()})


RESULTS = st.lists(
    some(checkName=st.text(max_size=9), passed=st.booleans(), status=st.sampled_from(list(Status)))
)
NODE_PREFLIGHTS = some(
    spec=some(run=some(id=st.just("u"), check=st.text(max_size=9)), skip=st.booleans()),
    status=some(passed=st.booleans(), mode=st.text(max_size=9), results=RESULTS, runID=st.just("u")),
)
CHECK_OBJECTS = some(
    metadata=some(
        name=st.text(max_size=9), uid=st.just("u"), creationTimestamp=st.just("2026-01-01T00:00:00Z")
    ),
    status=some(
        completionTime=st.just("2026-01-01T00:02:00Z"),
        checks=some(n1=some(passed=st.booleans(), results=RESULTS)),
        conditions=st.lists(some(type=st.just("Complete"), message=st.text(max_size=9)), max_size=2),
    ),
)


@given(NODE_PREFLIGHTS, CHECK_OBJECTS, some(spec=some(enabled=st.booleans()), status=JSON), st.booleans())
def test_objects_edited_into_nonsense_are_shown_all_the_same(
    preflight_object, check_object, runtime_object, skipped
):
    view = View({"n1": preflight_object}, {"n1": skipped}, [check_view(check_object)], runtime_object)
    (one,) = view.standings()
    assert all(cell.isprintable() and " " not in cell for cell in row(one, NOW, wide=True))
    assert all(line.isprintable() for line in summary(view, NOW))
    told = told_by_check("n1", None, check_view(check_object))
    if told is not None:
        lines = plain(of_check("n1", told, check_view(check_object))).splitlines()
        assert lines[-1].startswith(f"node n1 {'passed' if told['passed'] is True else 'failed'}")
        assert all(line.isprintable() for line in lines)
    assert progress(check_object, bar=True).isprintable()
