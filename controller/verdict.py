"""The verdict of a check: the nodes' answers, weighed by how many must pass.

Pure. A node's own verdict is its agent's; `ignoredChecks` and `useEmulation` were applied there.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cluster.errors import one_line
from cluster.node_preflight import NodePreflight
from cluster.shapes import flag, text
from controller.objects import WireObject

MAX_NAMED = 3
"""How many nodes a message names."""
MAX_FEATURES = 256
"""How many features are told, failed ones first: agents name them, and statuses have to stay small."""
MAX_WHY = 700
"""Characters of why a node failed, in its condition and in Events."""
PERCENTAGE = re.compile(r"([0-9]{1,3})%")


class Reason(StrEnum):
    """Why a check passed or not: the reason of its condition Complete."""

    PASSED = "Passed"
    NODES_FAILED = "NodesFailed"
    NO_NODES = "NoNodes"
    TOO_FEW_NODES = "TooFewNodes"
    BAD_CONFIGURATION = "BadConfiguration"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node answered, or what is said in its place.

    Attributes:
        passed: Whether the node passed.
        results: Its results in their wire form.
    """

    passed: bool
    results: Sequence[WireObject]


@dataclass(frozen=True, slots=True)
class Feature:
    """One check over all nodes.

    Attributes:
        failed_nodes: On how many nodes it failed.
    """

    failed_nodes: int

    @property
    def passed(self) -> bool:
        """Whether it let every node pass."""
        return self.failed_nodes == 0

    def to_dict(self) -> dict[str, object]:
        """Returns the wire form."""
        return {"passed": True} if self.passed else {"passed": False, "failedNodeNum": self.failed_nodes}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of the cluster.

    Attributes:
        reason: Why it passed or not.
        message: The same for a person, one line.
        features: Every check that ran on a node, by name.
    """

    reason: Reason
    message: str
    features: Mapping[str, Feature] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether VMs may be created."""
        return self.reason is Reason.PASSED


def judge(answers: Mapping[str, Answer], min_passed_nodes: int | str) -> Verdict:
    """Judges a check that every node has answered.

    Args:
        answers: The answer of each node that took part.
        min_passed_nodes: How many nodes must pass: a number of at least 1, or a percentage, rounded up.
    """
    features = _features(answers.values())
    if not answers:
        return Verdict(
            Reason.NO_NODES,
            "no node took part: every node is skipped, or the agents fit none",
            features,
        )
    needed = nodes_needed(min_passed_nodes, len(answers))
    passed = sum(answer.passed for answer in answers.values())
    if needed is None:
        return Verdict(
            Reason.BAD_CONFIGURATION,
            f"spec.preflight.minPassedNodes is {min_passed_nodes!r}: no number from 1, no percentage from 1%",
            features,
        )
    if needed > len(answers):
        return Verdict(
            Reason.TOO_FEW_NODES,
            f"{needed} nodes must pass (spec.preflight.minPassedNodes), but only {len(answers)} took part",
            features,
        )
    if passed < needed:
        return Verdict(Reason.NODES_FAILED, _count(answers, passed, needed), features)
    return Verdict(Reason.PASSED, _count(answers, passed, needed), features)


def nodes_needed(min_passed_nodes: int | str, total: int) -> int | None:
    """Returns how many of ``total`` nodes must pass; None where the setting is invalid."""
    if isinstance(min_passed_nodes, str):
        match = PERCENTAGE.fullmatch(min_passed_nodes)
        percent = int(match[1]) if match else 0
        return -(-total * percent // 100) if 1 <= percent <= 100 else None
    return min_passed_nodes if min_passed_nodes >= 1 else None


def _features(answers: Collection[Answer]) -> dict[str, Feature]:
    ran: set[str] = set()
    failed: Counter[str] = Counter()
    # most nodes share all their results (`controller.results`)
    alike = {tuple(map(id, answer.results)): answer for answer in answers}
    nodes = Counter(tuple(map(id, answer.results)) for answer in answers)
    for key, answer in alike.items():
        names = {text(one, "checkName") for one in answer.results} - {""}
        ran |= names
        for name in names & {text(one, "checkName") for one in answer.results if not flag(one, "passed")}:
            failed[name] += nodes[key]
    told = sorted(ran, key=lambda name: (name not in failed, name))[:MAX_FEATURES]
    return {name: Feature(failed[name]) for name in sorted(told)}


def _count(answers: Mapping[str, Answer], passed: int, needed: int) -> str:
    """Names the first failed nodes, if any, with the checks and reasons that failed them."""
    failed = sorted(name for name, answer in answers.items() if not answer.passed)
    if not failed:
        return f"{passed} of {_nodes(len(answers))} passed"
    told = "; ".join(f"{name}: {what_fails(answers[name].results)}" for name in failed[:MAX_NAMED])
    more = f"; and {len(failed) - MAX_NAMED} more" if len(failed) > MAX_NAMED else ""
    wanted = "" if needed == len(answers) else f", {needed} must pass"
    return f"{passed} of {_nodes(len(answers))} passed{wanted} ({told}{more})"


def what_fails(results: Iterable[WireObject]) -> str:
    """Returns the checks that fail a node, each with its reason."""
    failed = [one for one in results if not flag(one, "passed")]
    return (
        ", ".join(f"{text(one, 'checkName')} {text(one, 'reason')}".strip() for one in failed)
        or "its agent gave no reason"
    )


def why_not(preflight: NodePreflight) -> str:
    """Returns why a node failed, and what shows more: one line of bounded length."""
    failed = what_fails(preflight.status.results if preflight.status else ())
    return f"{one_line(failed)[:MAX_WHY]}; see kubectl get nodepreflight {preflight.name} -o yaml"


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
