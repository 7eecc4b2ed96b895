"""What is said of nodes that no agent serves."""

import pytest

from controller.objects import AgentPod, Meta
from controller.ready import explain

DESCRIBE = "see why: kubectl -n vm-system describe"


def pod(name: str, reason: str) -> AgentPod:
    """An agent's pod that is not available."""
    return AgentPod(Meta(name=name), reason=reason, message="words that the kubelet changes")


@pytest.mark.parametrize(
    ("missing", "pods", "told"),
    [
        ((), {}, ""),
        (
            ("a",),
            {},
            f"no agent serves a: on a there is no agent pod; {DESCRIBE} daemonset vm-preflight-agent",
        ),
        (
            ("a", "b"),
            {"a": pod("p", "ImagePullBackOff")},
            f"no agent serves a, b: on a pod p is not ready (ImagePullBackOff); {DESCRIBE} pod p",
        ),
        (
            ("a", "b", "c", "d", "e"),
            {"b": pod("p", "CrashLoopBackOff")},
            (
                "no agent serves a, b, c and 2 more: on a there is no agent pod; "
                f"{DESCRIBE} daemonset vm-preflight-agent"
            ),
        ),
        (
            ("a",),
            {"a": pod("p", "")},
            f"no agent serves a: on a pod p is not ready (Unknown); {DESCRIBE} pod p",
        ),
    ],
)
def test_which_nodes_why_and_where_to_look(
    missing: tuple[str, ...], pods: dict[str, AgentPod], told: str
) -> None:
    assert explain(missing, pods, "vm-system") == told
