"""Keeps a check's status under a size that the API server and etcd take, at any number of nodes.

Details go first where they matter least: results of passing nodes, then failed nodes' messages, then their
results, then passing nodes altogether. Every detail is still in the NodePreflights.
"""

import json
from collections.abc import Callable, Iterator, Mapping

from cluster.shapes import flag, items, mapping, text
from controller.objects import WireObject

LIMIT = 512 * 1024
"""Bytes of JSON; etcd refuses a request of more than 1.5 MiB, and managedFields and copies come on top."""
LEAST_RESULT = len('{"checkName":"","passed":true}')
"""Bytes of the smallest result."""
SHORT = 160
"""Characters of a message that was cut."""

Entries = dict[str, WireObject]


def size(status: WireObject) -> int:
    """Returns the bytes that ``status`` takes as JSON."""
    return len(json.dumps(status, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def fit(status: WireObject, *, limit: int = LIMIT) -> dict[str, object]:
    """Returns ``status``, cut until it fits and then marked with ``truncated: true``.

    A status that still runs and whose nodes' names alone are too large loses ``checks`` altogether: half a
    list of the nodes that take part would be a wrong one.
    """
    done = dict(status)
    if _fits(done, limit):
        return done
    done["truncated"] = True
    for stage in (_without_passing_results, _with_short_messages, _without_messages, _without_results):
        done["checks"] = stage(mapping(done, "checks"))
        if "failures" in done:
            done["failures"] = stage(mapping(done, "failures"))
        if _fits(done, limit):
            return done
    if "completionTime" not in done:
        done.pop("checks")
        return done
    done["checks"] = dict(_most_important(mapping(done, "checks"), limit - size({**done, "checks": {}})))
    return done


def _fits(status: WireObject, limit: int) -> bool:
    """Tells whether ``status`` fits; results that alone are too large are not written out to be counted."""
    least = 0
    for entry in mapping(status, "checks").values():
        for one in items(entry, "results"):
            least += LEAST_RESULT + len(text(one, "message"))
        if least > limit:
            return False
    return size(status) <= limit


def _without_passing_results(entries: WireObject) -> Entries:
    return {
        name: {key: value for key, value in _entry(entry).items() if key != "results"}
        if flag(_entry(entry), "passed")
        else _entry(entry)
        for name, entry in entries.items()
    }


def _with_short_messages(entries: WireObject) -> Entries:
    return _with_results(entries, lambda message: message if len(message) <= SHORT else message[:SHORT] + "…")


def _without_messages(entries: WireObject) -> Entries:
    return _with_results(entries, lambda _message: None)


def _without_results(entries: WireObject) -> Entries:
    return {
        name: {key: value for key, value in _entry(entry).items() if key != "results"}
        for name, entry in entries.items()
    }


def _with_results(entries: WireObject, change: Callable[[str], str | None]) -> Entries:
    return {name: {**_entry(entry), **_changed(_entry(entry), change)} for name, entry in entries.items()}


def _changed(entry: WireObject, change: Callable[[str], str | None]) -> dict[str, object]:
    results = entry.get("results")
    if not isinstance(results, list):
        return {}
    return {"results": [_with_message(one, change) for one in results]}


def _with_message(result: WireObject, change: Callable[[str], str | None]) -> WireObject:
    message = result.get("message")
    if not isinstance(message, str):
        return result
    changed = change(message)
    rest = {key: value for key, value in result.items() if key != "message"}
    return rest if changed is None else {**rest, "message": changed}


def _most_important(entries: WireObject, room: int) -> Iterator[tuple[str, WireObject]]:
    """Yields failed nodes, then passing ones, as long as there is room for them."""
    for name, entry in sorted(entries.items(), key=lambda item: (flag(_entry(item[1]), "passed"), item[0])):
        room -= size({name: entry})
        if room < 0:
            return
        yield name, _entry(entry)


def _entry(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
