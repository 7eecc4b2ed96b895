"""Do virtual machines exist? Asked only while they decide whether the runtime can be switched off."""

from cluster.resources import VIRTUAL_MACHINES
from cluster.shapes import items, text
from cluster.transport import ApiError, Client
from controller.switch import VMs


def look(client: Client) -> tuple[VMs, str]:
    """Asks for one virtual machine of each kind; a kind that is not installed has none.

    Returns:
        Whether some exist, and which one was found or why that is not known.
    """
    trouble = ""
    for resource in VIRTUAL_MACHINES:
        try:
            found = items(next(client.pages(resource.path(), params={"limit": "1"})), "items")
            if found:
                namespace, name = text(found[0], "metadata", "namespace"), text(found[0], "metadata", "name")
                return VMs.SOME, f"{resource.plural}.{resource.group} -n {namespace} {name}"
        except ApiError as error:
            if not error.not_found:
                trouble = f"{resource.plural}.{resource.group}: {error.message or error}"
    return (VMs.UNKNOWN, trouble) if trouble else (VMs.NONE, "")
