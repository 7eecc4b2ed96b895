"""Kinds of virtual machine as KubeVirt or GDC install them, in any versions, and virtual machines of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from controlplane import ControlPlane
from rights import listed
from waiting import until

from cluster import shapes
from cluster.resources import VIRTUAL_MACHINES, Resource
from cluster.transport import ApiError, Client

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
BROKEN = {
    "strategy": "Webhook",
    "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/convert"}},
}
"""A conversion between versions that nobody answers for."""


def definition(
    kind: Resource, versions: Sequence[str], *, conversion: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The kind's CRD; the last version is the one that is stored."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
            },
            "versions": [
                {"name": name, "served": True, "storage": name == versions[-1], "schema": schema}
                for name in versions
            ],
            **({"conversion": conversion} if conversion else {}),
        },
    }


@contextmanager
def installed(
    client: Client,
    kind: Resource,
    *versions: str,
    conversion: Mapping[str, object] | None = None,
) -> Iterator[None]:
    """Installs a kind, and takes it away with all its objects.

    What serves a kind and what lists the kinds in the API server learn of it one after the other.
    """
    each = [replace(kind, version=version) for version in versions]
    path = CRDS.path(f"{kind.plural}.{kind.group}")
    client.create(CRDS.path(), definition(kind, versions, conversion=conversion))
    try:
        for one in each:
            until(partial(answers, client, one.path()), f"{one.path()} is served")
            until(partial(is_listed, client, one), f"{one.path()} is listed")
        yield
    finally:
        if conversion:  # else its objects cannot be read, and hold it for ever
            client.patch(path, {"spec": {"conversion": {"strategy": "None", "webhook": None}}})
        client.delete(path)
        until(lambda: not answers(client, path), f"{path} is gone")
        until(lambda: not any(is_listed(client, one) for one in each), f"{path} is listed no more")


def answers(client: Client, path: str) -> bool:
    """Whether there is anything at a path, be it an error."""
    try:
        client.get(path)
    except ApiError as error:
        return not error.not_found
    return True


def is_listed(client: Client, kind: Resource) -> bool:
    """Whether discovery names a kind."""
    try:
        told = client.get(f"/apis/{kind.group}/{kind.version}")
    except ApiError as error:
        if not error.not_found:
            raise
        return False
    return any(shapes.text(one, "name") == kind.plural for one in shapes.items(told, "resources"))


def machine(kind: Resource, name: str, **metadata: object) -> dict[str, object]:
    """A virtual machine."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, **metadata},
        "spec": {"running": True},
    }


def would_be_created(plane: ControlPlane, kind: Resource = VIRTUAL_MACHINES[0]) -> bool:
    """Whether a virtual machine could be created: the API server is asked, with a dry run.

    Returns once there is an answer: a server that was just started may have none for half a minute
    (docs/adr/0015), and a kind that was just established may be served a moment later.
    """
    path = f"{kind.path(namespace='default')}?dryRun=All"

    def ask() -> int | None:
        code, answer = plane.request("POST", path, machine(kind, "tried"))
        starting = code == 404 or _is_starting(code, str(answer.get("message")))
        assert starting or code in (201, 403), answer
        return None if starting else code

    return until(ask, "the gate answers") == 201


def add(client: Client, kind: Resource, name: str, namespace: str = "default", **metadata: object) -> str:
    """Creates a virtual machine, and returns its uid; waits where the API server was just started."""

    def create() -> Mapping[str, object] | None:
        try:
            return client.create(kind.path(namespace=namespace), machine(kind, name, **metadata))
        except ApiError as error:
            if not _is_starting(error.status, error.message):
                raise
            return None

    found = until(create, f"{kind.kind} {name} is created")["metadata"]
    assert isinstance(found, dict)
    return str(found["uid"])


def add_once_open(
    client: Client, kind: Resource, name: str, namespace: str = "default", **metadata: object
) -> str:
    """Creates a virtual machine once the gate lets it through, and returns its uid.

    A policy sees a verdict a moment after everybody else does.
    """

    def create() -> str | None:
        try:
            return add(client, kind, name, namespace, **metadata)
        except ApiError as error:
            if not error.forbidden:
                raise
            return None

    return until(create, f"the gate lets {kind.kind} {name} through")


def release(plane: ControlPlane, kind: Resource, namespace: str, name: str) -> None:
    """Deletes a virtual machine, whatever holds it; again where the API server has just started."""
    path = kind.path(name, namespace=namespace)

    def done(method: str, body: Mapping[str, object] | None = None) -> bool:
        return plane.request(method, path, body)[0] in (200, 404)

    until(partial(done, "DELETE"), f"DELETE {path}")
    until(partial(done, "PATCH", {"metadata": {"finalizers": None}}), f"PATCH {path}")


def release_all(plane: ControlPlane) -> None:
    """Deletes every virtual machine: one that is held would keep its kind from ever being taken away."""
    for kind in VIRTUAL_MACHINES:
        for one in shapes.items(plane.request("GET", kind.path())[1], "items"):
            release(
                plane, kind, shapes.text(one, "metadata", "namespace"), shapes.text(one, "metadata", "name")
            )


def _is_starting(code: int, message: str) -> bool:
    return code == 422 and "paramKind" in message


def reader(plane: ControlPlane, user: str, rules: Sequence[Mapping[str, object]]) -> str:
    """Makes a service account in ``default`` with these rights in the whole cluster; returns its token.

    Returns once the rights are in force, which is some time after they were granted.
    """
    meta = {"name": user}
    plane.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": meta})
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user}
    subject = {"kind": "ServiceAccount", "name": user, "namespace": "default"}
    plane.request("POST", f"{rbac}/clusterroles", {"metadata": meta, "rules": list(rules)})
    plane.request(
        "POST", f"{rbac}/clusterrolebindings", {"metadata": meta, "roleRef": role, "subjects": [subject]}
    )
    token = plane.token(user, "default")
    granted = {
        f"{resource}.{group}"
        for rule in rules
        for group in shapes.words(rule, "apiGroups")
        for resource in shapes.words(rule, "resources")
    }
    until(lambda: granted <= listed(plane, token, "default").keys(), f"the rights of {user}")
    return token
