"""A client whose calls a test can listen to: what is asked, what is answered, and whether either happens."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cluster.transport import JSON, Client, Credentials, Object


class Call(NamedTuple):
    """A call of the API server, as `Client` makes it."""

    method: str
    path: str
    params: Mapping[str, str] | None
    body: Mapping[str, object] | None
    content_type: str

    def carry_out(self, client: Client) -> Object:
        """Makes the call with a client.

        Raises:
            cluster.transport.ApiError: It did not succeed.
        """
        return client._call(
            self.method, self.path, params=self.params, body=self.body, content_type=self.content_type
        )


Tap = Callable[[Call, Callable[[], Object]], Object]
"""Is given a call and what carries it out, and returns the answer."""


class Tapped(Client):
    """Calls go through a tap; watches do not."""

    def __init__(self, credentials: Credentials, tap: Tap) -> None:
        super().__init__(credentials)
        self._tap = tap

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        content_type: str = JSON,
    ) -> Object:
        send = functools.partial(
            super()._call, method, path, params=params, body=body, content_type=content_type
        )
        return self._tap(Call(method, path, params, body, content_type), send)
