import threading
from collections.abc import Mapping

from controller.actions import Announcement
from controller.news import SECONDS, News

FAILED = Announcement("Warning", "NodeNotReadyForVMs", "KVM DeviceMissing")


class Events:
    """Takes Events, each for some seconds."""

    def __init__(self, seconds: float, *, refused: frozenset[str] = frozenset()) -> None:
        self.seconds = seconds
        self.refused = refused
        self.now = 0.0
        self.tried: list[str] = []
        self.stop = threading.Event()
        self.news = News(self, clock=lambda: self.now)

    def record(self, involved_object: Mapping[str, str], event_type: str, reason: str, message: str) -> bool:
        assert (involved_object["kind"], event_type, reason) == ("Node", "Warning", "NodeNotReadyForVMs")
        self.now += self.seconds
        self.tried.append(involved_object["name"])
        return involved_object["name"] not in self.refused

    def add(self, *names: str) -> None:
        for name in names:
            self.news.add_of_node(name, f"uid of {name}", FAILED)


def test_many_events_are_written_look_by_look():
    events = Events(SECONDS / 100)
    names = [f"w{number}" for number in range(250)]
    events.add(*names)
    looks = 1
    while events.news.tell(events.stop):
        looks += 1
    assert events.tried == names
    assert looks == 3


def test_one_that_is_refused_costs_itself_only():
    events = Events(0.001, refused=frozenset("a"))
    events.add("a", "b", "c")
    assert not events.news.tell(events.stop)
    assert events.tried == ["a", "b", "c"]


def test_an_api_server_that_takes_none_is_waited_for_once():
    events = Events(5.0, refused=frozenset("abc"))
    events.add("a", "b", "c")
    assert not events.news.tell(events.stop)
    events.add("d")
    assert not events.news.tell(events.stop)
    assert events.tried == ["a", "d"]


def test_nothing_is_told_once_it_is_to_end():
    events = Events(0.001)
    events.add("a")
    events.stop.set()
    events.news.tell(events.stop)
    assert events.tried == []
