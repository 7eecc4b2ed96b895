from collections.abc import Callable, Iterator

import pytest

from cli.cluster_access import wait_until
from cluster.errors import NO_ANSWER
from cluster.transport import ApiError

AWAY = ApiError(0, NO_ANSWER, "connection reset")
REFUSED = ApiError(403, "Forbidden", "roles are not read yet")


def answers(*said: ApiError | bool) -> Callable[[], bool]:
    left: Iterator[ApiError | bool] = iter(said)

    def done() -> bool:
        answer = next(left)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    return done


def test_a_server_that_was_away_may_refuse_for_a_moment(capsys: pytest.CaptureFixture[str]) -> None:
    assert wait_until(answers(False, AWAY, REFUSED, AWAY, True), timeout=60, interval=0)
    assert capsys.readouterr().err.count("trying again") == 1


@pytest.mark.parametrize("said", [(REFUSED,), (False, REFUSED), (AWAY, False, REFUSED)])
def test_a_refusal_out_of_the_blue_is_one(said: tuple[ApiError | bool, ...]) -> None:
    with pytest.raises(ApiError, match="roles are not read yet"):
        wait_until(answers(*said), timeout=60, interval=0)
