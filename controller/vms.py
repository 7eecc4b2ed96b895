"""Do virtual machines exist? Asked only while they decide whether the runtime can be switched off."""

from cluster import virtual_machines
from cluster.resources import VIRTUAL_MACHINES
from cluster.transport import ApiError, Client
from controller.switch import VMs


def look(client: Client) -> tuple[VMs, str]:
    """Asks for one virtual machine of each kind; a kind that is not installed has none.

    Returns:
        Whether some exist, and what to do about the first one, or why that is not known.
    """
    trouble = ""
    for kind in VIRTUAL_MACHINES:
        try:
            found = virtual_machines.first(client, kind)
        except ApiError as error:
            name = f"{kind.plural}.{kind.group}"
            trouble = f"{name}: {error.message or error}; see: kubectl get {name} -A"
            continue
        if found is not None and found.deleting:
            return VMs.SOME, f"the first is being deleted, see what holds it: kubectl get {found} -o yaml"
        if found is not None:
            return VMs.SOME, f"the first: kubectl delete {found}"
    return (VMs.UNKNOWN, trouble) if trouble else (VMs.NONE, "")
