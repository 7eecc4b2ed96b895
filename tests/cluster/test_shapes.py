from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import shapes
from cluster.errors import one_line
from cluster.node_preflight import NodePreflight, from_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["metadata", "spec", "status", "run", "config", "name", "results", "ownerReferences"])
OBJECTS = st.recursive(
    JSON, lambda inner: st.dictionaries(NAMES, inner, max_size=5) | st.lists(inner, max_size=3), max_leaves=20
)


def test_fields_of_the_expected_type_are_read() -> None:
    obj = {
        "a": {
            "s": "x",
            "t": True,
            "n": 3,
            "f": 3.0,
            "l": [{"k": 1}, 2],
            "w": ["x", 1],
            "m": {"k": "v", "n": 1},
        }
    }
    assert shapes.text(obj, "a", "s") == "x"
    assert shapes.flag(obj, "a", "t") is True
    assert shapes.number(obj, "a", "n") == 3
    assert shapes.number(obj, "a", "f") == 3
    assert shapes.items(obj, "a", "l") == [{"k": 1}]
    assert shapes.sequence(obj, "a", "l") == [{"k": 1}, 2]
    assert shapes.words(obj, "a", "w") == ("x",)
    assert shapes.mapping(obj, "a", "m") == {"k": "v", "n": 1}
    assert shapes.texts(obj, "a", "m") == {"k": "v"}


def test_other_types_count_as_absent() -> None:
    obj = {"a": [1], "s": 1, "t": "true", "n": True, "f": 1.5, "l": "abc", "m": []}
    assert shapes.text(obj, "a", "b", default="d") == "d"
    assert shapes.text(obj, "s") == ""
    assert shapes.flag(obj, "t") is False
    assert shapes.number(obj, "n", default=7) == 7
    assert shapes.number(obj, "f") == 0
    assert shapes.sequence(obj, "l") == ()
    assert shapes.mapping(obj, "m") == {}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", None),
        ("2026-01-02", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("soon", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_time(written: object, expected: datetime | None) -> None:
    assert shapes.time({"t": written}, "t") == expected


@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=5)))).filter(lambda one: 2 < one.year < 9999))
def test_times_survive_the_wire(moment: datetime) -> None:
    assert shapes.time({"t": shapes.micro_timestamp(moment)}, "t") == moment
    assert shapes.time({"t": shapes.timestamp(moment)}, "t") == moment.replace(microsecond=0)


@given(OBJECTS)
def test_nothing_raises(obj: object) -> None:
    for path in ((), ("metadata",), ("spec", "run"), ("status", "results")):
        for accessor in (
            shapes.text,
            shapes.flag,
            shapes.number,
            shapes.mapping,
            shapes.texts,
            shapes.items,
            shapes.words,
            shapes.sequence,
            shapes.time,
        ):
            accessor(obj, *path)
    shapes.key(obj)


@given(st.dictionaries(NAMES, OBJECTS))
def test_any_object_is_a_node_preflight(obj: dict[str, object]) -> None:
    read = from_object(obj)
    assert isinstance(read, NodePreflight)
    assert read == from_object(obj)
    if read.status is not None:
        read.status.to_dict()


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= 1000
