"""Histories of a cluster, played against the controller's whole decision."""

from collections.abc import Callable

import pytest
from cluster_model import ClusterModel

from controller.actions import WriteCheckStatus, WriteRuntimeStatus
from controller.switch import VMs
from controller.triggers import AUTOMATIC_NAME
from controller.world import Manifest


def installed(*nodes: str) -> ClusterModel:
    cluster = ClusterModel()
    for name in nodes:
        cluster.add_node(name)
    cluster.settle()
    return cluster


def enabled(*nodes: str, passed: bool = True) -> ClusterModel:
    """A cluster whose first check has ended."""
    cluster = installed(*nodes)
    cluster.enable()
    cluster.settle()
    cluster.serve_all()
    cluster.answer_all(passed=passed)
    cluster.settle()
    return cluster


def only_check(cluster: ClusterModel) -> str:
    (name,) = cluster.checks
    return name


@pytest.mark.parametrize(
    ("nodes", "told"), [("", "0 nodes take part"), ("a", "1 node takes part"), ("ab", "2 nodes take part")]
)
def test_a_start_is_told_in_one_sentence(nodes: str, told: str):
    cluster = installed(*nodes)
    cluster.ask("mine")
    sentences = []
    while not sentences:
        todo = cluster.look().actions
        sentences = [
            one.announcement.message for one in todo if isinstance(one, WriteCheckStatus) and one.announcement
        ]
        for action in todo:
            cluster.do(action)
    assert sentences == [f"mine: Requested, {told}"]


def test_the_singleton_is_made_switched_off():
    cluster = installed("a")
    assert cluster.runtime is not None
    assert cluster.status["enabled"] is False
    assert cluster.status["ready"] is False
    assert cluster.status["observedGeneration"] == 1
    assert cluster.daemon_set is None
    assert not cluster.checks
    assert not cluster.preflights


def test_a_settled_cluster_is_left_alone():
    cluster = enabled("a", "b")
    before = cluster.writes
    cluster.wait(3600)
    cluster.settle()
    assert cluster.writes == before


def test_nobody_is_asked_under_features_that_are_changed_back_before_they_are_noted():
    """No check would come after it, and a node that passed under emulation would count as passed."""
    cluster = enabled("a")
    cluster.ask("mine")
    cluster.settle()
    cluster.enable(useEmulation=True)
    decided = cluster.look().actions
    cluster.enable(useEmulation=False)
    cluster.act_late(decided)
    assert cluster.preflights["a"]["spec"]["config"]["useEmulation"] is False
    cluster.answer_all()
    cluster.settle()
    assert cluster.check_status("mine")["pass"] is True
    assert len(cluster.created) == 2


def test_enabling_rolls_out_the_agents_and_runs_a_check():
    cluster = installed("a", "b")
    cluster.enable()
    cluster.settle()
    name = only_check(cluster)
    assert AUTOMATIC_NAME.fullmatch(name)
    assert cluster.checks[name]["metadata"]["annotations"] == {"kubevm.io/trigger": "Enabled"}
    assert cluster.daemon_set is not None
    assert cluster.status["preflightCheckSummary"] == {"preflightCheckName": name}
    assert cluster.check_status(name)["checks"] == {"a": {}, "b": {}}
    assert {wire["spec"]["run"]["check"] for wire in cluster.preflights.values()} == {name}

    cluster.serve_all()
    cluster.answer_all()
    cluster.settle()
    summary = cluster.status["preflightCheckSummary"]
    assert summary["preflightCheckPassed"] is True
    assert summary["featureStatuses"] == {"KVM": {"passed": True}}
    assert cluster.last["name"] == name
    assert cluster.last["passed"] is True
    assert cluster.status["ready"] is True
    entry = cluster.check_status(name)["checks"]["a"]
    assert entry == {
        "passed": True,
        "results": [{"checkName": "KVM", "passed": True, "status": "Pass", "reason": "GuestRan"}],
    }


def test_one_write_asks_a_node_and_nothing_more_is_written():
    cluster = enabled("a")
    before = cluster.writes
    cluster.ask("again")
    cluster.settle()
    cluster.answer_all()
    cluster.settle()
    # start, trigger, node, end of the check; the VMRuntime's summary at its start and at its end
    assert cluster.writes - before == 6


def test_one_failed_node_fails_the_check_and_is_named():
    cluster = installed("a", "b")
    cluster.enable()
    cluster.settle()
    cluster.answer("a")
    cluster.answer("b", passed=False)
    cluster.settle()
    name = only_check(cluster)
    status = cluster.check_status(name)
    assert status["pass"] is False
    assert status["failures"] == {
        "b": {
            "results": [
                {
                    "checkName": "KVM",
                    "passed": False,
                    "message": "what happened\ndo this",
                    "status": "Fail",
                    "reason": "DeviceMissing",
                }
            ]
        }
    }
    assert cluster.status["preflightCheckSummary"]["featureStatuses"] == {
        "KVM": {"passed": False, "failedNodeNum": 1}
    }
    assert cluster.last["failedFeatures"] == ["KVM"]
    assert "message" not in cluster.last
    assert cluster.condition("Ready")["reason"] == "CheckFailed"


def test_min_passed_nodes_lets_a_check_pass_with_a_failed_feature():
    cluster = installed("a", "b")
    cluster.enable(preflight={"minPassedNodes": 1})
    cluster.settle()
    cluster.answer("a")
    cluster.answer("b", passed=False)
    cluster.settle()
    assert cluster.last["passed"] is True
    assert cluster.status["preflightCheckSummary"]["featureStatuses"]["KVM"]["passed"] is False


def test_features_of_the_runtime_reach_the_agents():
    cluster = installed("a")
    cluster.enable(useEmulation=True, preflight={"ignoredChecks": ["VhostNet", "Tun"]})
    cluster.settle()
    assert cluster.preflights["a"]["spec"]["config"] == {
        "useEmulation": True,
        "ignoredChecks": ["Tun", "VhostNet"],
    }


def test_skipped_nodes_are_left_out_and_stay_idle():
    cluster = installed("a", "b")
    cluster.label("b", skip=True)
    cluster.enable()
    cluster.settle()
    assert set(cluster.check_status(only_check(cluster))["checks"]) == {"a"}
    assert cluster.preflights["b"]["spec"]["skip"] is True
    assert "run" not in cluster.preflights["b"]["spec"]


def test_a_removed_label_asks_for_one_check():
    cluster = enabled("a", "b")
    cluster.label("b", skip=True)
    cluster.settle()
    assert len(cluster.checks) == 1
    cluster.label("b", skip=False)
    cluster.settle()
    cluster.answer_all()
    cluster.settle()
    assert len(cluster.checks) == 2
    newest = cluster.created[-1]
    assert cluster.checks[newest]["metadata"]["annotations"] == {"kubevm.io/trigger": "SkipLabelRemoved"}
    assert cluster.last["name"] == newest


def test_a_label_removed_while_the_controller_was_away_is_acted_on_once():
    cluster = enabled("a", "b")
    cluster.label("b", skip=True)
    cluster.settle()
    cluster.label("b", skip=False)
    cluster.restart()
    cluster.settle()
    cluster.restart()
    cluster.settle()
    assert len(cluster.checks) == 2


def test_a_labelled_node_that_goes_and_comes_back_is_no_removal():
    cluster = enabled("a", "b")
    cluster.label("b", skip=True)
    cluster.settle()
    cluster.remove_node("b")
    cluster.settle()
    cluster.add_node("b")
    cluster.settle()
    assert len(cluster.checks) == 1


def test_a_label_removed_while_disabled_fires_nothing_later():
    cluster = installed("a", "b")
    cluster.label("b", skip=True)
    cluster.settle()
    cluster.label("b", skip=False)
    cluster.settle()
    cluster.enable()
    cluster.settle()
    assert len(cluster.checks) == 1


def test_a_changed_feature_asks_for_a_check_and_an_explicit_default_does_not():
    cluster = enabled("a")
    cluster.enable(vmImageFormat="raw", useEmulation=False, preflight={"nodeLabel": True})
    cluster.settle()
    assert len(cluster.checks) == 1
    cluster.enable(vmImageFormat="qcow2")
    cluster.settle()
    assert cluster.checks[cluster.created[-1]]["metadata"]["annotations"] == {
        "kubevm.io/trigger": "FeatureChanged"
    }


def test_triggers_fold_into_an_automatic_check_that_has_not_started():
    cluster = installed("a", "b", "c")
    cluster.label("b", skip=True)
    cluster.label("c", skip=True)
    cluster.enable()
    cluster.settle()  # runs, and is not answered
    cluster.label("b", skip=False)
    cluster.settle()  # waits
    cluster.label("c", skip=False)
    cluster.settle()  # folded
    assert len(cluster.checks) == 2


def test_checks_run_one_at_a_time_the_oldest_first():
    cluster = enabled("a")
    cluster.ask("second")
    cluster.wait(1)
    cluster.ask("first-by-name")
    cluster.settle()
    assert "startTime" in cluster.check_status("second")
    waiting = cluster.check_status("first-by-name")
    assert "startTime" not in waiting
    assert waiting["conditions"][0]["reason"] == "Queued"
    cluster.answer_all()
    cluster.settle()
    cluster.answer_all()
    cluster.settle()
    assert cluster.check_status("first-by-name")["pass"] is True


def test_a_person_checks_a_disabled_cluster():
    cluster = installed("a")
    cluster.ask("manual")
    cluster.settle()
    assert cluster.daemon_set is not None
    assert cluster.checks["manual"]["metadata"]["annotations"] == {"kubevm.io/trigger": "Requested"}
    cluster.answer_all()
    cluster.settle()
    assert cluster.check_status("manual")["pass"] is True
    assert cluster.status["preflightCheckSummary"]["preflightCheckPassed"] is True
    assert not cluster.last
    assert cluster.daemon_set is None
    assert not cluster.preflights


def test_a_check_made_while_disabled_never_opens_the_gate():
    cluster = installed("a")
    cluster.ask("manual")
    cluster.settle()
    cluster.enable()
    cluster.settle()
    cluster.answer_all()  # answers the person's check
    cluster.settle()
    assert cluster.check_status("manual")["pass"] is True
    assert not cluster.last
    cluster.answer_all()
    cluster.settle()
    assert cluster.last["name"] != "manual"


def test_a_check_under_way_keeps_the_last_verdict_for_the_gate():
    cluster = enabled("a")
    first = cluster.last["name"]
    cluster.wait(1)
    cluster.ask("again")
    cluster.settle()
    assert cluster.status["preflightCheckSummary"]["preflightCheckName"] == "again"
    assert "preflightCheckPassed" not in cluster.status["preflightCheckSummary"]
    assert cluster.last["name"] == first
    cluster.answer_all(passed=False)
    cluster.settle()
    assert cluster.last["name"] == "again"
    assert cluster.last["passed"] is False


def test_a_deleted_check_leaves_the_last_verdict():
    cluster = enabled("a")
    first = cluster.last["name"]
    cluster.delete_check(str(first))
    cluster.settle()
    assert cluster.last["name"] == first
    assert "preflightCheckName" not in cluster.status["preflightCheckSummary"]


def test_a_silent_node_fails_at_the_deadline():
    cluster = installed("a", "b")
    cluster.enable()
    cluster.settle()
    cluster.serve_all()
    cluster.answer("a")
    cluster.wait(118)
    cluster.settle()
    name = only_check(cluster)
    assert "completionTime" not in cluster.check_status(name)
    assert cluster.look().look_again is not None
    cluster.wait(2)
    cluster.settle()
    status = cluster.check_status(name)
    assert status["pass"] is False
    (result,) = status["checks"]["b"]["results"]
    assert result["checkName"] == "Agent"
    assert result["reason"] == "AgentNotAnswering"
    assert "kubevm.io/VM-SkipSchedule" in result["message"]
    assert cluster.preflights["b"]["spec"].get("run") is None


def test_progress_is_written_now_and_then():
    cluster = installed("a", "b")
    cluster.enable()
    cluster.settle()
    cluster.answer("a")
    cluster.settle()
    name = only_check(cluster)
    assert cluster.check_status(name)["checks"]["a"] == {}
    cluster.wait(5)
    cluster.settle()
    assert cluster.check_status(name)["checks"]["a"]["passed"] is True
    assert cluster.check_status(name)["conditions"][0]["message"] == "1 of 2 nodes answered"


def test_a_node_that_is_deleted_or_skipped_leaves_the_run():
    cluster = installed("a", "b", "c")
    cluster.enable()
    cluster.settle()
    cluster.answer("a")
    cluster.remove_node("b")
    cluster.label("c", skip=True)
    cluster.settle()
    status = cluster.check_status(only_check(cluster))
    assert status["pass"] is True
    assert set(status["checks"]) == {"a"}


def test_a_node_that_joins_is_no_part_of_the_run():
    cluster = installed("a")
    cluster.enable()
    cluster.settle()
    cluster.add_node("b")
    cluster.settle()
    assert "run" not in cluster.preflights["b"]["spec"]
    cluster.answer("a")
    cluster.settle()
    assert set(cluster.check_status(only_check(cluster))["checks"]) == {"a"}


def test_a_person_deletes_a_nodes_preflight_in_the_middle_of_a_run():
    cluster = installed("a")
    cluster.enable()
    cluster.settle()
    del cluster.preflights["a"]
    cluster.settle()
    cluster.answer("a", passed=False)
    cluster.settle()
    assert cluster.last["passed"] is False


def test_no_node_at_all_does_not_pass_and_says_so():
    cluster = installed()
    cluster.enable()
    cluster.settle()
    status = cluster.check_status(only_check(cluster))
    assert status["pass"] is False
    assert status["conditions"][0]["reason"] == "NoNodes"
    assert cluster.last["failedFeatures"] == []
    assert "no node took part" in str(cluster.last["message"])


def test_a_check_that_is_deleted_while_it_runs_is_withdrawn_and_the_next_one_starts():
    cluster = enabled("a")
    cluster.ask("one")
    cluster.settle()
    cluster.wait(1)
    cluster.ask("two")
    cluster.settle()
    cluster.delete_check("one")
    cluster.settle()
    assert cluster.preflights["a"]["spec"]["run"]["check"] == "two"
    cluster.delete_check("two")
    cluster.settle()
    assert "run" not in cluster.preflights["a"]["spec"]


def test_disabling_takes_everything_away_and_cancels_automatic_checks_alone():
    cluster = installed("a")
    cluster.enable()
    cluster.settle()
    automatic = only_check(cluster)
    cluster.ask("manual")
    cluster.settle()
    cluster.enable(enabled=False)
    cluster.settle()
    cancelled = cluster.check_status(automatic)
    assert "pass" not in cancelled
    assert "completionTime" in cancelled
    assert {one["type"]: one["status"] for one in cancelled["conditions"]} == {
        "Complete": "False",
        "Cancelled": "True",
    }
    assert cluster.status["enabled"] is False
    assert cluster.daemon_set is not None  # the person's check goes on
    cluster.answer_all()
    cluster.settle()
    assert cluster.check_status("manual")["pass"] is True
    assert cluster.daemon_set is None
    assert not cluster.preflights


def test_a_cancelled_check_keeps_what_was_answered_and_gives_nobody_up():
    cluster = installed("a", "b")
    cluster.enable()
    cluster.settle()
    cluster.answer("a", passed=False)
    cluster.enable(enabled=False)
    cluster.act_late(cluster.look().actions)
    cluster.wait(700)
    cluster.settle()
    assert set(cluster.check_status(only_check(cluster))["checks"]) == {"a"}


def test_enabling_again_wants_a_new_verdict():
    cluster = enabled("a")
    cluster.enable(enabled=False)
    cluster.settle()
    assert not cluster.last
    assert cluster.status["ready"] is False
    cluster.enable()
    cluster.settle()
    assert len(cluster.checks) == 2
    assert not cluster.last
    assert cluster.condition("Ready")["reason"] == "NoVerdict"


def test_vms_are_protected_from_switching_off():
    cluster = enabled("a")
    cluster.vms = VMs.SOME
    cluster.enable(enabled=False)
    cluster.settle()
    assert cluster.status["enabled"] is True
    assert cluster.daemon_set is not None
    assert cluster.condition("DisableBlocked")["status"] == "True"
    assert cluster.condition("DisableBlocked")["reason"] == "VMsProtected"
    assert cluster.condition("Ready")["reason"] == "SwitchingOff"
    assert cluster.look().look_again is not None
    cluster.annotate("baremetal.cluster.gke.io/vmrumtime-force-disable", "true")
    cluster.settle()
    assert cluster.condition("DisableBlocked")["reason"] == "VMsMustBeDeleted"
    cluster.vms = VMs.NONE
    cluster.settle()
    assert cluster.status["enabled"] is False
    assert cluster.daemon_set is None


def test_off_and_on_again_while_vms_protect_is_no_change():
    cluster = enabled("a")
    first = cluster.last["name"]
    cluster.vms = VMs.SOME
    cluster.enable(enabled=False)
    cluster.settle()
    cluster.enable()
    cluster.settle()
    assert len(cluster.checks) == 1
    assert cluster.last["name"] == first


@pytest.mark.parametrize(
    ("change", "trigger"),
    [
        (lambda cluster: cluster.enable(enabled=False, useEmulation=True), "FeatureChanged"),
        (lambda cluster: cluster.label("b", skip=False), "SkipLabelRemoved"),
    ],
)
def test_what_changes_while_vms_protect_is_checked_once_it_is_on_again(
    change: Callable[[ClusterModel], None], trigger: str
):
    """Else the gate would open by the verdict of other features, of other nodes."""
    cluster = installed("a", "b")
    cluster.label("b", skip=True)
    cluster.enable()
    cluster.settle()
    cluster.answer_all()
    cluster.settle()
    cluster.vms = VMs.SOME
    cluster.enable(enabled=False)
    cluster.settle()
    change(cluster)
    cluster.settle()
    assert len(cluster.checks) == 1
    cluster.enable()
    cluster.settle()
    cluster.wait(1)
    cluster.settle()
    assert cluster.triggers == ["Enabled", trigger]


def test_what_changes_while_vms_protect_is_forgotten_once_it_is_off():
    cluster = installed("a", "b")
    cluster.label("b", skip=True)
    cluster.enable()
    cluster.settle()
    cluster.vms = VMs.SOME
    cluster.enable(enabled=False, useEmulation=True)
    cluster.label("b", skip=False)
    cluster.settle()
    cluster.vms = VMs.NONE
    cluster.settle()
    assert cluster.status["enabled"] is False
    cluster.enable()
    cluster.settle()
    assert cluster.triggers == ["Enabled", "Enabled"]


def test_it_cannot_be_told_whether_vms_exist():
    cluster = enabled("a")
    cluster.vms = VMs.UNKNOWN
    cluster.enable(enabled=False)
    cluster.settle()
    assert cluster.status["enabled"] is True
    assert cluster.condition("DisableBlocked")["reason"] == "VMsUnknown"


def test_a_word_that_is_neither_true_nor_false_is_named():
    cluster = installed("a")
    cluster.annotate("baremetal.cluster.gke.io/vmrumtime-force-disable", "yes")
    cluster.settle()
    assert cluster.condition("AnnotationsValid")["status"] == "False"
    assert "'yes'" in str(cluster.condition("AnnotationsValid")["message"])


def test_a_junk_manifest_is_named_and_nothing_else_is_lost():
    cluster = enabled("a")
    cluster.manifest = Manifest(cluster.manifest.template, trouble="/etc/x.yaml: not a YAML mapping")
    cluster.settle()
    assert cluster.condition("AgentsRolledOut")["reason"] == "ManifestInvalid"
    assert "/etc/x.yaml" in str(cluster.condition("AgentsRolledOut")["message"])
    assert cluster.daemon_set is not None
    assert cluster.status["ready"] is True


def test_ten_automatic_checks_are_kept_and_every_persons():
    cluster = enabled("a", "b")
    cluster.ask("manual")
    cluster.settle()
    cluster.answer_all()
    cluster.settle()
    for _ in range(12):
        cluster.wait(1)
        cluster.label("b", skip=True)
        cluster.settle()
        cluster.label("b", skip=False)
        cluster.settle()
        cluster.answer_all()
        cluster.settle()
    assert len(cluster.created) == 14
    assert "manual" in cluster.checks
    assert list(cluster.checks) == ["manual", *cluster.created[-10:]]


def test_readiness_survives_a_rolling_update_and_falls_when_agents_stay_away():
    cluster = enabled("a")
    assert cluster.status["ready"] is True
    cluster.wait(3600)
    cluster.pods.clear()
    cluster.settle()
    assert cluster.status["ready"] is True
    cluster.wait(28)
    cluster.settle()
    assert cluster.status["ready"] is True
    cluster.wait(2)
    cluster.settle()
    assert cluster.status["ready"] is False
    assert cluster.condition("Ready")["reason"] == "AgentsNotReady"
    assert cluster.condition("Ready")["message"].startswith("no agent serves a: on a there is no agent pod; ")
    cluster.serve_all()
    cluster.settle()
    assert cluster.status["ready"] is True


def test_a_node_that_was_made_anew_does_not_keep_the_old_ones_answers():
    cluster = enabled("a")
    preflight = cluster.preflights["a"]
    cluster.remove_node("a")
    cluster.add_node("a")
    cluster.preflights["a"] = preflight  # the garbage collector has not come yet
    cluster.settle()
    assert "status" not in cluster.preflights["a"] or not cluster.preflights["a"]["status"]
    assert (
        cluster.preflights["a"]["metadata"]["ownerReferences"][0]["uid"]
        == cluster.nodes["a"]["metadata"]["uid"]
    )


def test_a_check_is_marked_as_made_while_disabled_before_the_runtime_is_switched_on():
    cluster = installed("a")
    cluster.ask("manual")
    cluster.enable()
    assert not any(isinstance(action, WriteRuntimeStatus) for action in cluster.look().actions)
    cluster.settle()
    assert "enabledGeneration" not in cluster.check_status("manual")


def test_an_unknown_trigger_and_a_persons_name_make_no_check_automatic():
    cluster = installed("a")
    cluster.ask("mine")
    cluster.checks["mine"]["metadata"]["annotations"] = {"kubevm.io/trigger": "Enabled"}
    cluster.settle()
    assert "completionTime" not in cluster.check_status("mine")
    assert cluster.checks["mine"]["metadata"]["annotations"] == {"kubevm.io/trigger": "Requested"}


def test_an_automatic_check_is_never_made_in_the_second_of_another():
    """The latest of one second is told by name (decisions.md 18), and an automatic one's is random."""
    cluster = enabled("a", "b")
    cluster.label("b", skip=True)
    cluster.settle()
    cluster.wait(60)
    cluster.ask("zz")
    cluster.label("b", skip=False)
    for _ in range(5):
        for action in cluster.look().actions:
            cluster.do(action)
    assert len(cluster.checks) == 2
    assert cluster.status["pendingCheck"]["trigger"] == "SkipLabelRemoved"
    assert cluster.preflights["a"]["spec"]["run"]["check"] == "zz"  # which is not held up
    cluster.wait(1)
    cluster.settle()
    assert len(cluster.checks) == 3
