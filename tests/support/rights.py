"""What a token may do, as the API server itself lists it (SelfSubjectRulesReview)."""

from collections.abc import Mapping

from controlplane import ControlPlane

from cluster.shapes import items, words

Rights = Mapping[str, str]
"""``resource.group``, with a name behind a blank where the right is limited to one, to verbs in order."""


def listed(plane: ControlPlane, token: str, namespace: str) -> Rights:
    """Returns every right in a namespace, not what one thinks of; those in the whole cluster included.

    RBAC alone decides on a `ControlPlane`, so that the list is complete.

    Raises:
        AssertionError: The API server did not answer.
    """
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    status, answer = plane.request("POST", path, review, token=token)
    assert status == 201, answer
    found: dict[str, set[str]] = {}
    for rule in items(answer, "status", "resourceRules"):
        for group in words(rule, "apiGroups"):
            for resource in words(rule, "resources"):
                for name in words(rule, "resourceNames") or ("",):
                    what = f"{resource}.{group}".rstrip(".") + (f" {name}" if name else "")
                    found.setdefault(what, set()).update(words(rule, "verbs"))
    return {what: " ".join(sorted(verbs)) for what, verbs in found.items()}
