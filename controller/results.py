"""What the controller keeps of a node's answer: enough for a check's status, and no more.

Thousands of answers are alike, and an agent may write as much as the schema lets it. So what a clean Pass
says is dropped (a check does not show it), what is left is shared, and the text of one node is bounded. A
pass that a result contradicts is none.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from cluster import node_preflight
from cluster.node_preflight import NodePreflight
from cluster.shapes import flag, text
from controller.objects import WireObject

MAX_RESULTS, MAX_WORD, MAX_TEXT = 256, 63, 2048
"""Results, characters of a name or reason, of a message or hint: the bounds of NodePreflight's schema."""
MAX_NODE = 64 * 1024
"""Characters of all messages and hints of a node; further ones are left out."""


def preflight(wire: Mapping[str, object]) -> NodePreflight:
    """Projects a NodePreflight."""
    found = node_preflight.from_object(wire)
    status = found.status
    if status is None:
        return found
    results = tuple(_kept(status.results))
    contradicted = status.passed is True and not all(flag(one, "passed") for one in results)
    passed = False if contradicted else status.passed
    return replace(found, status=replace(status, passed=passed, results=results))


def _kept(results: Iterable[WireObject]) -> Iterator[WireObject]:
    room = MAX_NODE
    for one, _ in zip(results, range(MAX_RESULTS), strict=False):
        words = tuple(sys.intern(text(one, key)[:MAX_WORD]) for key in ("checkName", "status", "reason"))
        passed = flag(one, "passed")
        if passed and words[1] == "Pass":
            yield _result(*words, passed=True)
            continue
        said = {key: text(one, key)[: min(MAX_TEXT, room)] for key in ("message", "hint") if text(one, key)}
        room -= sum(map(len, said.values()))
        yield {**_result(*words, passed=passed), **said}


@lru_cache(maxsize=4096)
def _result(name: str, status: str, reason: str, *, passed: bool) -> WireObject:
    return {"checkName": name, "status": status, "passed": passed, "reason": reason}
