from datetime import UTC, datetime, timedelta

import pytest

from controller.objects import AgentPod, Meta, Node
from controller.silence import Patience, asked_until, result, waited_for_until

START = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE = Patience()
ANSWER = START + PATIENCE.answer
ROLLOUT = START + PATIENCE.rollout
READY = Node(Meta("w1"))
DOWN = Node(Meta("w1"), ready=False, trouble="KubeletNotReady: runtime is down")
BEFORE = AgentPod(Meta("p"), node="w1", available=True, available_since=START - timedelta(hours=1))
UNDATED = AgentPod(Meta("p"), node="w1", available=True)
STARTING = AgentPod(Meta("p"), node="w1", starting=True, reason="ErrImagePull", message="no\nsuch image")
CRASHING = AgentPod(Meta("p"), node="w1", reason="CrashLoopBackOff", message="back-off")


def came_up(seconds: float) -> AgentPod:
    return AgentPod(Meta("p"), node="w1", available=True, available_since=START + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("node", "pod", "until"),
    [
        (READY, BEFORE, ANSWER),
        (READY, UNDATED, ANSWER),
        (READY, None, ANSWER),
        (READY, CRASHING, ANSWER),
        (READY, STARTING, ROLLOUT),
        (DOWN, STARTING, ANSWER),
        (DOWN, came_up(60), ANSWER),
        (READY, came_up(60), ANSWER + timedelta(seconds=60)),
        (READY, came_up(590), ROLLOUT),
    ],
)
def test_how_long_a_silent_node_is_waited_for(node: Node, pod: AgentPod | None, until: datetime):
    assert waited_for_until(node, pod, START, PATIENCE) == until


@pytest.mark.parametrize(
    ("made", "until"),
    [
        (None, ANSWER),
        (-60, ANSWER),
        (90, ANSWER + timedelta(seconds=90)),
        (590, ROLLOUT),
        (3600, ROLLOUT),  # by a clock that is ahead
    ],
)
def test_a_pod_may_be_about_to_come_while_others_do(made: float | None, until: datetime):
    newest = None if made is None else START + timedelta(seconds=made)
    assert waited_for_until(READY, None, START, PATIENCE, newest_pod=newest) == until
    assert waited_for_until(DOWN, None, START, PATIENCE, newest_pod=newest) == ANSWER


@pytest.mark.parametrize(
    ("pod", "given", "until"),
    [
        (BEFORE, ANSWER, ANSWER),
        (BEFORE, ROLLOUT, ROLLOUT),  # not up when it was asked: its node's clock is an hour behind
        (came_up(60), ROLLOUT, ANSWER + timedelta(seconds=60)),
        (came_up(3660), ROLLOUT, ROLLOUT),  # an hour ahead
        (CRASHING, ROLLOUT, ANSWER),
    ],
)
def test_a_nodes_clock_may_be_wrong(pod: AgentPod, given: datetime, until: datetime):
    assert waited_for_until(READY, pod, START, PATIENCE, given=given) == until


@pytest.mark.parametrize(
    ("pod", "until"),
    [(BEFORE, ANSWER), (UNDATED, ANSWER), (None, ROLLOUT), (STARTING, ROLLOUT), (came_up(1), ROLLOUT)],
)
def test_the_deadline_that_an_agent_is_given(pod: AgentPod | None, until: datetime):
    assert asked_until(pod, START, PATIENCE) == until


@pytest.mark.parametrize(
    ("node", "pod", "reason", "said"),
    [
        (
            DOWN,
            BEFORE,
            "NodeNotReady",
            "no answer in 120 s: the node is not ready (KubeletNotReady: runtime is down)",
        ),
        (READY, None, "NoAgentPod", "no answer in 120 s: there is no agent pod on the node"),
        (READY, BEFORE, "AgentNotAnswering", "no answer in 120 s, though agent pod p is ready"),
        (
            READY,
            STARTING,
            "ErrImagePull",
            "no answer in 600 s: agent pod p is not ready: ErrImagePull: no such image",
        ),
        (
            READY,
            CRASHING,
            "CrashLoopBackOff",
            "no answer in 120 s: agent pod p is not ready: CrashLoopBackOff: back-off",
        ),
    ],
)
def test_what_is_said_in_its_place(node: Node, pod: AgentPod | None, reason: str, said: str):
    told = result(node, pod, namespace="vm-system", patience=PATIENCE)
    assert told["checkName"] == "Agent"
    assert told["status"] == "Unknown"
    assert told["passed"] is False
    assert told["reason"] == reason
    assert told["message"] == said
    assert 'kubectl label nodes w1 "kubevm.io/VM-SkipSchedule="' in str(told["hint"])
