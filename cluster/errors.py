"""What can go wrong between us and the API server, as one exception with one readable line."""

from collections.abc import Mapping

from cluster import shapes

UNREACHABLE = "Unreachable"
"""No connection came about: nothing was sent."""
NO_ANSWER = "NoAnswer"
"""The connection ended or went silent after the request was sent: it may have been carried out."""
UNTRUSTED = "UntrustedServer"
"""The server's certificate is not signed by the given authority, or not for that name: nothing was sent."""
MALFORMED = "Malformed"
"""What came back is not what the Kubernetes API answers."""
CLOSED = "Closed"
"""This client was closed."""
FENCED = "Fenced"
"""This client may write no more, since another process may be at work in its place: nothing was sent."""
NO_CREDENTIALS = "NoCredentials"
"""No token could be had: nothing was sent."""

_MAX_MESSAGE = 1000
"""Characters of a server's message that are kept: a validation error can list thousands of fields."""


class CredentialsError(ValueError):
    """Credentials that cannot be used; one line that names the file and what is wrong with it."""


class ApiError(Exception):
    """A call that did not succeed.

    Attributes:
        status: HTTP status code, or the code of a Status object in a watch; 0 where there was no answer.
        reason: The Status object's reason (``NotFound``, ``Conflict``, …), or one of this module's constants.
        message: The Status object's message, or what happened to the connection; one line.
        retry_after: Seconds that the server asks to wait (``Retry-After``), None where it does not say.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        request: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.reason = one_line(reason)
        self.message = one_line(message)
        self.retry_after = retry_after
        answer = f"{status} {self.reason}" if status else self.reason
        super().__init__(": ".join(part for part in (request, answer, self.message) if part))

    @property
    def not_found(self) -> bool:
        """The object, its namespace or its kind does not exist."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """The object was changed meanwhile, or a precondition does not hold; not `already_exists`."""
        return self.status == 409 and not self.already_exists

    @property
    def already_exists(self) -> bool:
        """An object of that name is there already."""
        return self.reason == "AlreadyExists"

    @property
    def gone(self) -> bool:
        """The resource version is too old: list again."""
        return self.status == 410 or self.reason in ("Gone", "Expired")

    @property
    def forbidden(self) -> bool:
        """The credentials do not allow it."""
        return self.status == 403


def from_status(
    status: int,
    body: Mapping[str, object],
    *,
    request: str = "",
    fallback: str = "",
    retry_after: float | None = None,
) -> ApiError:
    """Makes the error of a ``Status`` object.

    Args:
        status: The HTTP status code; 0 takes the Status object's own ``code``.
        body: The Status object, or anything else.
        request: Method and path, for the message.
        fallback: The reason where the object names none.
        retry_after: Seconds of the ``Retry-After`` header.
    """
    return ApiError(
        status or shapes.number(body, "code"),
        shapes.text(body, "reason") or fallback or "Unknown",
        shapes.text(body, "message"),
        request=request,
        retry_after=retry_after,
    )


def one_line(text: str) -> str:
    """Returns text as one line without control characters, cut at a thousand characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * _MAX_MESSAGE]).split())
    return line if len(line) <= _MAX_MESSAGE else line[: _MAX_MESSAGE - 1] + "…"
