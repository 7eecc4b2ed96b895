"""The virtual machines of a cluster, of every kind that the switch and the gate know.

Each kind may be installed or not, and served in any version. Which versions are there, discovery tells. But
an API server that has just started answers a list of custom resources a moment before discovery knows them
(apiextensions-apiserver: pkg/apiserver/apiserver.go, ``crd-informer-synced``). So a kind counts as not
installed only where a list says so, in every version that discovery names and its makers have published.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from cluster.errors import one_line
from cluster.resources import VIRTUAL_MACHINES, Resource
from cluster.shapes import at, flag, items, text
from cluster.transport import ApiError, Client, Object

PUBLISHED = {"kubevirt.io": ("v1", "v1alpha3"), "vm.cluster.gke.io": ("v1", "v1alpha1")}
"""Versions that the kinds' makers have published, by group."""
DELETIONS = 8
"""Deletions under way at a time; the API server's fair queuing gives one client about as many seats."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that made another one and looks after it: its controller.

    Attributes:
        kind: Its kind.
        name: Its name, in the namespace of what it owns.
        uid: Its unique id.
    """

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A virtual machine.

    Attributes:
        resource: Its kind, in a version that is served.
        namespace: Its namespace.
        name: Its name.
        uid: Its unique id.
        owner: Its controller, None where nobody looks after it.
        deleting: It was deleted, and goes when what holds it lets go.
    """

    resource: Resource
    namespace: str
    name: str
    uid: str
    owner: Owner | None = None
    deleting: bool = False

    def __str__(self) -> str:
        """Returns the words that kubectl takes."""
        return f"{self.resource.plural}.{self.resource.group} -n {self.namespace} {self.name}"


def first(client: Client, kind: Resource) -> VirtualMachine | None:
    """Returns a virtual machine of a kind, None where there is none or the kind is not installed.

    Raises:
        ApiError: The API server's answer; also that we may not list a kind that is not installed.
    """
    for resource, page in _pages(client, kind, {"limit": "1"}):
        for one in items(page, "items"):
            return _projected(resource, one)
    return None


def list_all(client: Client) -> list[VirtualMachine]:
    """Lists virtual machines of all kinds, by their metadata alone.

    A kind that we may not list counts as not installed where discovery does not know it. An API server that
    has just started may not know it yet: whoever decides by its absence alone asks `first`.

    Raises:
        ApiError: The API server's answer. A kind that is not installed is no error.
    """
    found: list[VirtualMachine] = []
    for kind in VIRTUAL_MACHINES:
        try:
            for resource, page in _pages(client, kind):
                found += [_projected(resource, one) for one in items(page, "items")]
        except ApiError as error:
            if not error.forbidden or _named(client, kind):
                raise
    return found


def heads(machines: Sequence[VirtualMachine]) -> list[VirtualMachine]:
    """Returns those that go by themselves: the others go with the one of them that owns them.

    Owner references are written by anybody: machines that own each other in a circle all go by themselves.
    """
    uids = {machine.uid for machine in machines}
    found = [machine for machine in machines if machine.owner is None or machine.owner.uid not in uids]
    return found or list(machines)


def makers(machines: Sequence[VirtualMachine]) -> list[str]:
    """Returns what makes virtual machines anew when they are gone: *VirtualMachinePool default/web*."""
    owners = ((one.namespace, one.owner) for one in heads(machines) if one.owner is not None)
    return sorted(
        {
            one_line(f"{owner.kind} {namespace}/{owner.name}")
            for namespace, owner in owners
            if owner.kind != "VirtualMachine"  # else the owner has just gone, and this one follows
        }
    )


def delete_all(client: Client, machines: Iterable[VirtualMachine]) -> None:
    """Deletes virtual machines in the foreground: each is gone only when what it owns is gone.

    Raises:
        ApiError: The API server's answer to one of them; the others may have been deleted or not. One that is
            gone, or was replaced by another, is no error.
    """

    def delete(machine: VirtualMachine) -> None:
        path = machine.resource.path(machine.name, namespace=machine.namespace)
        client.delete_exactly(path, uid=machine.uid, propagation="Foreground")

    pool = ThreadPoolExecutor(DELETIONS)
    try:
        for deletion in [pool.submit(delete, machine) for machine in machines]:
            deletion.result()
    finally:  # an interrupted command does not wait for a server that does not answer
        pool.shutdown(wait=False, cancel_futures=True)


def _pages(
    client: Client, kind: Resource, params: Mapping[str, str] | None = None
) -> Iterator[tuple[Resource, Object]]:
    """Yields the pages of the first version that is served, with that version's resource."""
    for version in _versions(client, kind.group):
        resource = replace(kind, version=version)
        try:
            for page in client.of_metadata().pages(resource.path(), params=params):
                yield resource, page
        except ApiError as error:
            if not error.not_found:
                raise
        else:
            return


def _versions(client: Client, group: str) -> Sequence[str]:
    """Returns the versions to try, the preferred one first."""
    found: list[str] = []
    try:
        told = client.get(f"/apis/{group}")
        found = [text(told, "preferredVersion", "version")]
        found += [text(one, "version") for one in items(told, "versions")]
    except ApiError as error:
        if not (error.not_found or error.forbidden):
            raise
    return [version for version in dict.fromkeys((*found, *PUBLISHED[group])) if version]


def _named(client: Client, kind: Resource) -> bool:
    """Whether discovery knows the kind."""
    for version in _versions(client, kind.group):
        try:
            told = client.get(f"/apis/{kind.group}/{version}")
        except ApiError as error:
            if error.not_found:
                continue
            raise
        if any(text(one, "name") == kind.plural for one in items(told, "resources")):
            return True
    return False


def _projected(resource: Resource, one: object) -> VirtualMachine:
    metadata = at(one, "metadata")
    owners = [owner for owner in items(metadata, "ownerReferences") if flag(owner, "controller")]
    return VirtualMachine(
        resource,
        text(metadata, "namespace"),
        text(metadata, "name"),
        text(metadata, "uid"),
        Owner(text(owners[0], "kind"), text(owners[0], "name"), text(owners[0], "uid")) if owners else None,
        deleting=bool(text(metadata, "deletionTimestamp")),
    )
