"""What ``disable vmruntime`` does about virtual machines: finds them, asks, and deletes them."""

import sys
from collections.abc import Mapping, Sequence
from time import monotonic

from cli.cluster_access import NotDoneError, say, wait_until
from cluster.access import allowed
from cluster.resources import FORCE_DISABLE_ANNOTATION, VM_RUNTIME_NAME, VM_RUNTIMES, Resource
from cluster.shapes import mapping
from cluster.transport import ApiError, Client
from cluster.virtual_machines import VirtualMachine, delete_all, heads, list_all, makers

WAY_OUT = "pass --force=true to delete them, or delete them yourself with kubectl delete"
SHOWN = 5
"""Names in a message."""
PROGRESS = 5.0
"""Seconds between two lines of progress."""
BATCH = 200
"""Machines that are deleted between two looks at what is left: some seconds' work."""


def existing(client: Client) -> list[VirtualMachine]:
    """Returns the virtual machines that there are.

    Raises:
        NotDoneError: That cannot be told.
    """
    try:
        return list_all(client)
    except ApiError as error:
        raise NotDoneError(f"not disabled, nothing changed: {told(error)}") from error


def told(error: ApiError) -> str:
    """Returns the API server's own words, as kubectl shows them, or what happened to the connection."""
    return error.message if error.status and error.message else str(error)


def count(machines: Sequence[VirtualMachine]) -> str:
    """Returns *1 virtual machine* or *5 virtual machines*; one that another one owns is not counted."""
    number = len(heads(machines))
    return f"{number} virtual machine{'' if number == 1 else 's'}"


def some(machines: Sequence[VirtualMachine]) -> str:
    """Returns the names of the first ones."""
    named = heads(machines)
    first = ", ".join(f"{one.namespace}/{one.name}" for one in named[:SHOWN])
    return first + (", …" if len(named) > SHOWN else "")


def refuse_or_go_on(machines: Sequence[VirtualMachine], runtime: Mapping[str, object]) -> None:
    """Returns where somebody can be asked whether to delete the virtual machines.

    Raises:
        NotDoneError: They are protected, or nobody can be asked.
    """
    in_the_way = f"not disabled, {count(machines)} in the way ({some(machines)})"
    if mapping(runtime, "metadata", "annotations").get(FORCE_DISABLE_ANNOTATION) != "true":
        raise NotDoneError(f"{in_the_way}: {WAY_OUT}")
    if not sys.stdin.isatty():
        raise NotDoneError(f"{in_the_way} and no terminal to ask on: {WAY_OUT}")


def require_rights(client: Client, machines: Sequence[VirtualMachine]) -> None:
    """Returns where we may do all that is to be done, so that nothing ends half done.

    Raises:
        NotDoneError: We may not.
    """
    if not allowed(client, "patch", VM_RUNTIMES, name=VM_RUNTIME_NAME):
        raise forbidden("patch", VM_RUNTIMES, "at the cluster scope", f"/{VM_RUNTIME_NAME}")
    kinds = {machine.resource for machine in machines}
    everywhere = {kind for kind in kinds if allowed(client, "delete", kind)}
    places = {(one.resource, one.namespace) for one in heads(machines) if one.resource not in everywhere}
    for kind, namespace in sorted(places, key=str):
        if not allowed(client, "delete", kind, namespace=namespace):
            raise forbidden("delete", kind, f'in the namespace "{namespace}"', f" -n {namespace}")


def forbidden(verb: str, kind: Resource, where: str, what: str) -> NotDoneError:
    """Returns the error for a right that is missing, in kubectl's words."""
    return NotDoneError(
        f"not disabled, nothing changed: you cannot {verb} "
        f'resource "{kind.plural}" in API group "{kind.group}" {where}; '
        f"see: kubectl auth can-i {verb} {kind.plural}.{kind.group}{what}"
    )


def ask(machines: Sequence[VirtualMachine]) -> None:
    """Asks on the terminal whether to delete the virtual machines, and returns on a yes.

    Raises:
        NotDoneError: The answer was another one.
    """
    say(f"there {'is' if len(heads(machines)) == 1 else 'are'} {count(machines)}: {some(machines)}")
    try:
        print("Delete them all and disable the VM runtime? [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        say("\nnot disabled, nothing changed")
        raise
    if not answer.endswith("\n"):
        say("")  # the end of the input: the cursor still stands behind the question
    if answer.strip().lower() not in ("y", "yes"):
        raise NotDoneError(f"not disabled, nothing changed: {WAY_OUT}")


def warn_of_makers(machines: Sequence[VirtualMachine]) -> None:
    """Tells of what makes virtual machines anew as soon as nothing refuses them any more."""
    found = makers(machines)
    for maker in found[:SHOWN]:
        say(f"{maker} makes its virtual machines anew once the VM runtime is off; to prevent that, delete it")
    if len(found) > SHOWN:
        say(f"so do {len(found) - SHOWN} more")


def remove_all(client: Client, *, confirmed: bool, timeout: float) -> None:
    """Deletes every virtual machine and waits until none is left, those that slipped through included.

    Raises:
        NotDoneError: Some are left after ``timeout`` seconds, one could not be deleted, or there are some
            that nobody was asked about.
    """
    left: list[VirtualMachine] = []
    told_at, told_count = float("-inf"), ""

    def none_left() -> bool:
        nonlocal left, told_at, told_count
        left = list_all(client)
        if left and not confirmed:
            raise NotDoneError(f"not disabled, {count(left)} created meanwhile ({some(left)}): {WAY_OUT}")
        if left and count(left) != told_count and monotonic() >= told_at + PROGRESS:
            say(f"{count(left)} left …" if told_count else f"deleting {count(left)} …")
            told_at, told_count = monotonic(), count(left)
        delete_some(client, left)
        return not left

    try:
        done = wait_until(none_left, timeout=timeout)
    except ApiError as error:
        raise NotDoneError(f"not disabled, {count(left)} left: {told(error)}") from error
    if not done:
        raise NotDoneError(
            f"not disabled, {count(left)} left after {timeout:g} s: see what holds the first one with: "
            f"kubectl get {heads(left)[0]} -o jsonpath='{{.metadata.finalizers}}'"
        )


def delete_what_is_left(client: Client) -> None:
    """Deletes the virtual machines that there are now; returns before they are gone."""
    delete_some(client, list_all(client))


def delete_some(client: Client, machines: Sequence[VirtualMachine]) -> None:
    """Deletes a batch of those that are not deleted yet, and go by themselves."""
    delete_all(client, [machine for machine in heads(machines) if not machine.deleting][:BATCH])
