import threading

import pytest

from cluster.transport import ApiError, Client, Credentials
from controller.actions import Action, Asked, AskNode
from controller.fanout import WIDTH, Fanout
from controller.objects import Meta, Node

CLIENT = Client(Credentials("http://127.0.0.1:1"))


def asks(count: int) -> list[Action]:
    return [AskNode(Node(Meta(f"w{number}")), Asked()) for number in range(count)]


def test_a_batch_is_done_at_once_and_whole():
    together = threading.Barrier(WIDTH, timeout=60)
    batch = asks(WIDTH)

    def do(action: Action) -> bool:
        together.wait()
        return action is not batch[0]

    done = Fanout(do, CLIENT).run(batch, threading.Event())
    assert {id(action): outcome for action, outcome in done} == {
        id(one): one is not batch[0] for one in batch
    }


@pytest.mark.parametrize("count", [1, 3])
def test_failures_come_back_with_their_actions(count: int):
    error = ApiError(422, "Invalid", "no")

    def do(_action: Action) -> bool:
        raise error

    assert [outcome for _, outcome in Fanout(do, CLIENT).run(asks(count), threading.Event())] == [
        error
    ] * count


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_a_server_that_is_away_ends_the_batch(status: int):
    def do(_action: Action) -> bool:
        raise ApiError(status, "Away", "later")

    assert 1 <= len(Fanout(do, CLIENT).run(asks(500), threading.Event())) <= WIDTH


def test_nothing_begins_once_it_is_to_end():
    stop = threading.Event()

    def do(_action: Action) -> bool:
        stop.set()
        return True

    assert 1 <= len(Fanout(do, CLIENT).run(asks(500), stop)) <= WIDTH


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_of_ours_is_raised(count: int):
    def do(_action: Action) -> bool:
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        Fanout(do, CLIENT).run(asks(count), threading.Event())
