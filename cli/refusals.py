"""What went wrong between us and the API server, in the words that kubectl has for it.

Source: kubernetes, staging/src/k8s.io/kubectl/pkg/cmd/util/helpers.go, StandardErrorMessage and
checkErr. People and their scripts know these lines.
"""

from urllib.parse import urlsplit

from cluster.errors import MALFORMED, NO_ANSWER, NO_CREDENTIALS, UNREACHABLE, UNTRUSTED
from cluster.transport import ApiError


def as_kubectl_says(error: ApiError) -> str:
    """Returns the one line that kubectl prints of such an error."""
    if error.status == 401:
        return "error: You must be logged in to the server (Unauthorized)"
    if error.status:
        return f"Error from server ({error.reason}): {error.message or 'it does not say why'}"
    if error.reason == UNREACHABLE and "refused" in error.message:
        server = urlsplit(error.message.partition(": ")[0]).netloc
        return f"The connection to the server {server} was refused - did you specify the right host or port?"
    if error.reason in (UNREACHABLE, UNTRUSTED, NO_ANSWER, NO_CREDENTIALS, MALFORMED):
        return f"Unable to connect to the server: {error.message}"
    return f"error: {error}"
