from collections.abc import Iterator, Mapping

from cluster import shapes
from controller.caches import PATIENCE, Cache, Identity

Item = tuple[str, str, str]


def project(wire: Mapping[str, object]) -> Item:
    return (
        shapes.text(wire, "metadata", "uid"),
        shapes.text(wire, "metadata", "resourceVersion"),
        shapes.text(wire, "value"),
    )


def wire(name: str, uid: str, version: int, value: str) -> dict[str, object]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}, "value": value}


class Shown:
    def __init__(self) -> None:
        self.shown: dict[str, Item] = {}
        self.now = 0.0
        self.cache = Cache(self, project, lambda item: Identity(item[0], item[1]), clock=lambda: self.now)

    def items(self) -> dict[str, Item]:
        return dict(self.shown)

    def get(self, key: str) -> Item | None:
        return self.shown.get(key)

    def values(self) -> dict[str, str]:
        return {key: item[2] for key, item in self.cache.items().items()}


def test_an_own_write_counts_until_the_informer_shows_it_or_a_newer_one():
    shown = Shown()
    shown.shown["a"] = ("u", "9", "old")
    shown.cache.wrote(wire("a", "u", 10, "ours"))
    assert shown.values() == {"a": "ours"}
    shown.shown["a"] = ("u", "10", "ours")
    assert shown.values() == {"a": "ours"}
    shown.shown["a"] = ("u", "11", "theirs")
    assert shown.values() == {"a": "theirs"}
    assert shown.cache.seen() == shown.shown


def test_an_object_that_we_wrote_and_somebody_deleted_is_gone():
    shown = Shown()
    shown.shown["a"] = ("u", "9", "old")
    shown.cache.wrote(wire("a", "u", 10, "ours"))
    del shown.shown["a"]
    assert shown.values() == {}


def test_a_created_object_is_there_until_the_informer_ought_to_show_it():
    shown = Shown()
    shown.cache.wrote(wire("a", "u", 10, "new"))
    assert shown.values() == {"a": "new"}
    shown.now = PATIENCE + 1
    assert shown.values() == {}


def test_a_deleted_object_is_gone_until_another_one_of_that_name_appears():
    shown = Shown()
    shown.shown["a"] = ("u", "9", "old")
    shown.cache.deleted("a", shown.shown["a"])
    assert shown.values() == {}
    shown.shown["a"] = ("v", "12", "another")
    assert shown.values() == {"a": "another"}


def test_a_deleted_object_that_stays_is_shown_again():
    shown = Shown()
    shown.shown["a"] = ("u", "9", "held by a finalizer")
    shown.cache.deleted("a", shown.shown["a"])
    shown.now = PATIENCE + 1
    assert shown.values() == {"a": "held by a finalizer"}


def test_a_version_that_is_no_number_does_not_win():
    shown = Shown()
    shown.shown["a"] = ("u", "x", "theirs")
    shown.cache.wrote(wire("a", "u", 10, "ours"))
    assert shown.values() == {"a": "theirs"}


def test_a_list_tells_what_the_informer_withholds():
    shown = Shown()
    shown.shown = {
        "a": ("u", "9", "old"),
        "b": ("v", "9", "gone"),
        "c": ("w", "9", "made anew"),
        "d": ("x", "9", "as it was"),
    }
    shown.cache.wrote(wire("d", "x", 12, "ours"))
    shown.cache.listed(
        [
            wire("a", "u", 10, "new"),
            wire("c", "y", 11, "another"),
            wire("d", "x", 12, "ours"),
            wire("e", "z", 13, "appeared"),
        ]
    )
    assert shown.values() == {"a": "new", "c": "another", "d": "ours", "e": "appeared"}
    shown.now = PATIENCE + 1  # a silent watch is silent for longer
    assert shown.values() == {"a": "new", "c": "another", "d": "ours"}
    shown.shown = {"a": ("u", "14", "newer"), "b": ("t", "15", "made anew")}
    assert shown.values() == {"a": "newer", "b": "made anew"}


def test_a_list_tells_of_an_own_object_that_the_informer_has_never_shown():
    """Somebody changed it since; it is no object that was shown and went."""
    shown = Shown()
    shown.cache.wrote(wire("a", "u", 10, "ours"))
    shown.cache.listed([wire("a", "u", 12, "theirs")])
    assert shown.values() == {"a": "theirs"}
    shown.shown["a"] = ("u", "10", "ours")
    assert shown.values() == {"a": "theirs"}
    shown.shown["a"] = ("u", "13", "newer")
    assert shown.values() == {"a": "newer"}


def test_an_object_that_goes_while_it_is_listed_is_gone():
    shown = Shown()

    def asked() -> Iterator[Mapping[str, object]]:
        yield wire("a", "u", 12, "there")
        del shown.shown["a"]

    shown.shown["a"] = ("u", "9", "there")
    shown.cache.listed(asked())
    assert shown.values() == {}


def test_a_list_is_asked_for_after_what_is_known():
    """An object that appears in between, and that the list lacks, is none that is gone."""
    shown = Shown()

    def asked() -> Iterator[Mapping[str, object]]:
        shown.shown["b"] = ("v", "10", "appeared")
        yield wire("a", "u", 9, "there")

    shown.shown["a"] = ("u", "9", "there")
    shown.cache.listed(asked())
    assert shown.values() == {"a": "there", "b": "appeared"}
