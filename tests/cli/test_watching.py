"""What ``--watch`` tells of an API server that goes away and comes back, look by look."""

import threading
from types import SimpleNamespace

import pytest

from cli import watching

REFUSED = "WATCH /nodes: connection refused"
EXPIRED = "WATCH /nodes: 410 Expired: too old resource version"


class Looks(threading.Event):
    """Each wait is what happens until the next look: seconds, and the error that a watch has then."""

    def __init__(self, *happens: tuple[float, str]) -> None:
        super().__init__()
        self.seconds = 0.0
        self.failed = threading.Event()
        self.informer = SimpleNamespace(error="not listed yet")
        self._happens = iter(happens)

    def wait(self, timeout: float | None = None) -> bool:
        seconds, error = next(self._happens, (0.0, None))
        if error is None:
            raise KeyboardInterrupt
        self.seconds += seconds
        self.informer.error = error
        if error:
            self.failed.set()
        return True


@pytest.mark.parametrize(
    ("happens", "told"),
    [
        ([(0.0, ""), (1.0, ""), (1.0, "")], []),
        ([(1.0, REFUSED), (1.0, REFUSED), (1.0, "")], ["trying"]),
        ([(1.0, REFUSED), (1.0, ""), (0.75, "")], ["trying"]),
        ([(1.0, REFUSED), (1.0, ""), (1.0, "")], ["trying", "watching"]),
        ([(1.0, REFUSED), (1.0, ""), (0.25, EXPIRED), (1.0, ""), (0.75, "")], ["trying"]),
        ([(1.0, REFUSED), (1.0, ""), (0.25, EXPIRED), (1.0, ""), (1.0, "")], ["trying", "watching"]),
        (
            [(1.0, REFUSED), (1.0, ""), (1.0, ""), (1.0, REFUSED), (1.0, ""), (1.0, "")],
            ["trying", "watching", "trying", "watching"],
        ),
    ],
)
def test_it_is_watching_again_once_the_watches_last(
    happens: list[tuple[float, str]],
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    looks = Looks(*happens)
    monkeypatch.setattr(watching, "monotonic", lambda: looks.seconds)
    with pytest.raises(KeyboardInterrupt):
        watching._follow(None, lambda: None, looks, looks.failed, [looks.informer])
    lines = {"trying": f"{REFUSED}; trying again", "watching": "watching again"}
    assert capsys.readouterr().err.splitlines() == [lines[one] for one in told]
