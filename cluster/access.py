"""What the credentials in use allow, as the API server itself says (``kubectl auth can-i``)."""

from cluster.resources import Resource
from cluster.shapes import flag
from cluster.transport import Client

REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")


def allowed(client: Client, verb: str, resource: Resource, *, namespace: str = "", name: str = "") -> bool:
    """Tells whether ``verb`` is allowed; an empty namespace means every one, an empty name each object.

    Raises:
        ApiError: The API server's answer.
    """
    attributes = {
        "verb": verb,
        "group": resource.group,
        "version": resource.version,
        "resource": resource.plural,
        "namespace": namespace,
        "name": name,
    }
    review = {
        "apiVersion": REVIEWS.api_version,
        "kind": REVIEWS.kind,
        "spec": {"resourceAttributes": attributes},
    }
    return flag(client.create(REVIEWS.path(), review), "status", "allowed")
