import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.verdict import Answer, Reason, judge, nodes_needed


def result(check: str, *, passed: bool, reason: str = "Because") -> dict[str, object]:
    return {"checkName": check, "passed": passed, "reason": reason}


GOOD = Answer(True, (result("CPU", passed=True), result("KVM", passed=True)))
BAD = Answer(False, (result("CPU", passed=True), result("KVM", passed=False, reason="DeviceMissing")))
MUTE = Answer(False, (result("Agent", passed=False, reason="NoAgentPod"),))


@pytest.mark.parametrize(
    ("answers", "needed", "reason"),
    [
        ((GOOD,), "100%", Reason.PASSED),
        ((GOOD, BAD), "100%", Reason.NODES_FAILED),
        ((GOOD, BAD), "50%", Reason.PASSED),
        ((GOOD, BAD), "51%", Reason.NODES_FAILED),
        ((GOOD, BAD, BAD), 1, Reason.PASSED),
        ((GOOD, GOOD), 3, Reason.TOO_FEW_NODES),
        ((GOOD,), 0, Reason.BAD_CONFIGURATION),
        ((GOOD,), -1, Reason.BAD_CONFIGURATION),
        ((GOOD,), "0%", Reason.BAD_CONFIGURATION),
        ((GOOD,), "101%", Reason.BAD_CONFIGURATION),
        ((GOOD,), "most", Reason.BAD_CONFIGURATION),
        ((), "100%", Reason.NO_NODES),
        ((), 0, Reason.NO_NODES),
        ((GOOD, MUTE), "100%", Reason.NODES_FAILED),
    ],
)
def test_verdict(answers: tuple[Answer, ...], needed: int | str, reason: Reason):
    verdict = judge({f"w{number}": answer for number, answer in enumerate(answers)}, needed)
    assert verdict.reason is reason
    assert verdict.passed is (reason is Reason.PASSED)
    assert "\n" not in verdict.message


def test_features_are_the_checks_that_ran():
    verdict = judge({"a": GOOD, "b": BAD, "c": BAD, "d": MUTE}, "100%")
    assert {name: feature.to_dict() for name, feature in verdict.features.items()} == {
        "Agent": {"passed": False, "failedNodeNum": 1},
        "CPU": {"passed": True},
        "KVM": {"passed": False, "failedNodeNum": 2},
    }


def test_the_message_names_the_first_failed_nodes():
    verdict = judge({"e": GOOD} | dict.fromkeys("dcba", BAD), "80%")
    assert verdict.message == (
        "1 of 5 nodes passed, 4 must pass "
        "(a: KVM DeviceMissing; b: KVM DeviceMissing; c: KVM DeviceMissing; and 1 more)"
    )
    assert judge({"a": Answer(False, ())}, "100%").message == (
        "0 of 1 node passed (a: its agent gave no reason)"
    )


@pytest.mark.parametrize(("percentage", "needed"), [("1%", 1), ("33%", 1), ("34%", 2), ("100%", 3)])
def test_percentages_are_rounded_up(percentage: str, needed: int):
    assert nodes_needed(percentage, 3) == needed


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 100))
def test_a_pass_needs_that_share_of_the_nodes(passes: list[bool], percent: int):
    answers = {str(number): GOOD if passed else BAD for number, passed in enumerate(passes)}
    assert judge(answers, f"{percent}%").passed is (sum(passes) * 100 >= percent * len(passes))


def test_features_without_end_are_cut_and_failed_ones_are_kept():
    many = Answer(False, tuple(result(f"Check{number:03}", passed=number != 511) for number in range(512)))
    features = judge({"a": many}, "100%").features
    assert len(features) == 256
    assert features["Check511"].failed_nodes == 1
