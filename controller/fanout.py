"""Does many writes at once, since each mostly waits for the API server: one for every node of a cluster."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from cluster.transport import ApiError, Client
from controller.actions import Action

WIDTH = 8
"""Writes under way at a time; the API server's fair queuing gives one client about as many seats."""

Outcome = bool | ApiError
"""Whether something was written, or why not."""


class Fanout:
    """A few threads for the time of one batch.

    Args:
        do: Does an action; returns whether something was written.
        client: Whose calls are cut off by `interrupt`.
    """

    def __init__(self, do: Callable[[Action], bool], client: Client) -> None:
        self._do = do
        self._client = client
        self._threads: list[threading.Thread] = []

    def run(self, batch: Sequence[Action], stop: threading.Event) -> list[tuple[Action, Outcome]]:
        """Does a batch in no particular order.

        A server that does not answer ends it: what is left is left out of what is returned, as it is when
        ``stop`` is set.
        """
        left = deque(batch)
        done: list[tuple[Action, Outcome]] = []
        broken: list[Exception] = []

        def work() -> None:
            while not stop.is_set():
                try:
                    action = left.popleft()
                except IndexError:
                    return
                try:
                    done.append((action, self._do(action)))
                except ApiError as error:
                    done.append((action, error))
                    if server_is_away(error):
                        left.clear()
                except Exception as error:  # noqa: BLE001 -- raised again in the caller's thread
                    broken.append(error)

        if len(batch) == 1:
            return [(batch[0], self._one(batch[0]))]
        self._threads = [
            threading.Thread(target=work, name=f"write-{number}", daemon=True)
            for number in range(min(WIDTH, len(batch)))
        ]
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()
        self._threads = []
        for error in broken:
            raise error
        return done

    def _one(self, action: Action) -> Outcome:
        try:
            return self._do(action)
        except ApiError as error:
            return error

    def interrupt(self) -> None:
        """Cuts off the calls that are under way; from another thread."""
        for thread in list(self._threads):
            self._client.interrupt(thread)


def server_is_away(error: ApiError) -> bool:
    """Tells whether trying something else now makes no sense."""
    return error.status == 0 or error.status == 429 or error.status >= 500
