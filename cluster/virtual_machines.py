"""The virtual machines of a cluster, of every kind that the switch and the gate know.

Each kind may be installed or not.
"""

from dataclasses import dataclass

from cluster.resources import VIRTUAL_MACHINES, Resource
from cluster.shapes import at, items, text
from cluster.transport import ApiError, Client


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A virtual machine's name.

    Attributes:
        resource: Its kind.
        namespace: Its namespace.
        name: Its name.
        uid: Its unique id.
    """

    resource: Resource
    namespace: str
    name: str
    uid: str


def list_all(client: Client, *, limit: int = 0) -> list[VirtualMachine]:
    """Lists virtual machines of all kinds.

    Args:
        client: A client that may list them.
        limit: Stop after so many; 0 for all.

    Raises:
        ApiError: The API server's answer. A kind that is not installed is no error.
    """
    found: list[VirtualMachine] = []
    for resource in VIRTUAL_MACHINES:
        try:
            for page in client.pages(resource.path(), params={"limit": str(limit)} if limit else None):
                found += [_named(resource, one) for one in items(page, "items")]
                if limit and len(found) >= limit:
                    return found[:limit]
        except ApiError as error:
            if not error.not_found:
                raise
    return found


def _named(resource: Resource, one: object) -> VirtualMachine:
    metadata = at(one, "metadata")
    return VirtualMachine(
        resource, text(metadata, "namespace"), text(metadata, "name"), text(metadata, "uid")
    )


def delete(client: Client, machine: VirtualMachine) -> None:
    """Deletes a virtual machine in the foreground: it is gone only when what it owns is gone.

    Raises:
        ApiError: The API server's answer. One that is gone, or was replaced by another, is no error.
    """
    path = machine.resource.path(machine.name, namespace=machine.namespace)
    client.delete_exactly(path, uid=machine.uid, propagation="Foreground")
