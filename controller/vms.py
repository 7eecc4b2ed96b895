"""Do virtual machines exist? Asked only while they decide whether the runtime can be switched off."""

from cluster import virtual_machines
from cluster.resources import VIRTUAL_MACHINES
from cluster.transport import ApiError, Client
from controller.switch import VMs


def look(client: Client) -> tuple[VMs, str]:
    """Asks for one virtual machine of each kind; a kind that is not installed has none.

    Returns:
        Whether some exist, and which one was found or why that is not known.
    """
    trouble = ""
    for kind in VIRTUAL_MACHINES:
        try:
            if found := virtual_machines.first(client, kind):
                return VMs.SOME, str(found)
        except ApiError as error:
            trouble = f"{kind.plural}.{kind.group}: {error.message or error}"
    return (VMs.UNKNOWN, trouble) if trouble else (VMs.NONE, "")
