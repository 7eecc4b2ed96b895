"""``vm-preflight enable vmruntime`` and ``disable vmruntime``: the switch, as GDC's ``bmctl`` has it."""

import sys
from collections.abc import Mapping, Sequence

from cli.cluster_access import (
    FAILED,
    NO_VERDICT,
    NotDoneError,
    cluster_options,
    connection,
    not_installed,
    say,
    wait_until,
)
from cli.interrupts import hangup_and_termination_interrupt
from cli.options import Parser, UsageError, complain, duration
from cluster.resources import (
    DISABLING_ANNOTATION,
    FORCE_DISABLE_ANNOTATION,
    NAMESPACE,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
)
from cluster.shapes import flag, mapping, number, text
from cluster.transport import ApiError, Client
from cluster.virtual_machines import VirtualMachine, delete, list_all

PATH = VM_RUNTIMES.path(VM_RUNTIME_NAME)
LAST = ("status", "preflightCheckSummary", "lastCompleted")
CUT_OFF = (
    "it takes no new virtual machines, since it is being switched off; if no command does that any more: "
    f"kubectl annotate vmruntime {VM_RUNTIME_NAME} {DISABLING_ANNOTATION}-"
)
WATCH = f"kubectl get vmruntimepfc -n {NAMESPACE} --watch"


def main(program: str, words: Sequence[str]) -> int:
    """Enables or disables the VM runtime.

    Returns:
        0 if it was done, 1 if not, 3 if ``enable --wait`` saw no verdict in time.

    Raises:
        UsageError: Wrong words.
    """
    verb = program.split()[-1]
    if words[:1] in (["-h"], ["--help"]):
        words = ["vmruntime", *words]
    if not words or words[0] != "vmruntime":
        raise UsageError(f"say '{verb} vmruntime'")
    command = enable if verb == "enable" else disable
    try:
        return command(f"{program} vmruntime", words[1:])
    except NotDoneError as error:
        complain(program, error)
        return FAILED


def enable(program: str, words: Sequence[str]) -> int:
    """Switches the VM runtime on, and with ``--wait`` waits for the first check's verdict."""
    parser = Parser(program, "Lets virtual machines be created once the nodes' preflight check has passed.")
    cluster_options(parser)
    parser.flag("--wait", help="wait for the verdict of the first check")
    parser.option("--timeout", duration, default=720.0, metavar="SECONDS", help="longest wait")
    options = parser.parse_args(words)
    with connection(options) as client:
        runtime = current(client)
        if flag(runtime, "spec", "enabled"):
            cut_off = text(runtime, "metadata", "annotations", DISABLING_ANNOTATION) == "true"
            raise NotDoneError("the VM runtime is already enabled" + (f"; {CUT_OFF}" if cut_off else ""))
        change = {
            "metadata": {"annotations": {DISABLING_ANNOTATION: None}},
            "spec": {"enabled": True},
        }
        accepted = client.patch(PATH, change)
        print("VM runtime enabled. Virtual machines can be created once the preflight check has passed.")
        if not options.wait:
            print(f"Watch it: {WATCH}")
            return 0
        return wait_for_verdict(client, int(number(accepted, "metadata", "generation")), options.timeout)


def wait_for_verdict(client: Client, generation: int, timeout: float) -> int:
    """Waits until a check has answered for ``generation`` of the VM runtime and prints its verdict."""
    runtime: Mapping[str, object] = {}

    def finished() -> bool:
        nonlocal runtime
        runtime = client.get(PATH)
        last = mapping(runtime, *LAST)
        return number(runtime, "status", "observedGeneration") >= generation and bool(last)

    if not wait_until(finished, timeout=timeout):
        complain("vm-preflight", f"no verdict after {timeout:g} s; look on with: {WATCH}")
        return NO_VERDICT
    name = text(runtime, *LAST, "name")
    passed = flag(runtime, *LAST, "passed")
    print(f"{name} {'passed' if passed else 'failed'}")
    return 0 if passed else FAILED


def disable(program: str, words: Sequence[str]) -> int:
    """Switches the VM runtime off; virtual machines are deleted only if that was said."""
    parser = Parser(program, "Switches the VM runtime off. Virtual machines are deleted only if you say so.")
    cluster_options(parser)
    parser.flag("--force", help="delete all virtual machines first", typed=True)
    parser.option("--timeout", duration, default=600.0, metavar="SECONDS", help="longest wait")
    options = parser.parse_args(words)
    with connection(options) as client:
        runtime = current(client)
        if not (flag(runtime, "spec", "enabled") or flag(runtime, "status", "enabled")):
            raise NotDoneError("the VM runtime is already disabled")
        machines = list_all(client)
        if machines:
            confirm(machines, force=options.force, runtime=runtime)
        switch_off = {"metadata": {"annotations": {DISABLING_ANNOTATION: None}}, "spec": {"enabled": False}}
        with hangup_and_termination_interrupt():
            try:
                client.patch(PATH, {"metadata": {"annotations": {DISABLING_ANNOTATION: "true"}}})
                remove_all(client, confirmed=bool(machines) or options.force, timeout=options.timeout)
                client.patch(PATH, switch_off)
            except BaseException:
                give_up(client, enabled=flag(runtime, "spec", "enabled"))
                raise
        if not wait_until(lambda: is_off(client), timeout=options.timeout):
            raise NotDoneError(
                f"disabled, but not switched off after {options.timeout:g} s: "
                f"see 'kubectl describe vmruntime {VM_RUNTIME_NAME}' and the pods in {NAMESPACE}"
            )
        print("VM runtime disabled.")
        return 0


def current(client: Client) -> Mapping[str, object]:
    """Returns the VMRuntime.

    Raises:
        NotDoneError: There is none.
    """
    try:
        return client.get(PATH)
    except ApiError as error:
        if error.not_found:
            raise not_installed() from error
        raise


def count(machines: Sequence[VirtualMachine]) -> str:
    """Returns *1 virtual machine* or *5 virtual machines*."""
    return f"{len(machines)} virtual machine{'' if len(machines) == 1 else 's'}"


def confirm(machines: Sequence[VirtualMachine], *, force: bool, runtime: Mapping[str, object]) -> None:
    """Returns where the virtual machines may be deleted.

    Raises:
        NotDoneError: They may not, and nothing was changed.
    """
    if force:
        return
    some = ", ".join(f"{one.namespace}/{one.name}" for one in machines[:5])
    some += ", …" if len(machines) > 5 else ""
    way = "pass --force=true to delete them, or delete them yourself with kubectl delete"
    annotations = mapping(runtime, "metadata", "annotations")
    if annotations.get(FORCE_DISABLE_ANNOTATION) != "true":
        raise NotDoneError(f"not disabled, {count(machines)} in the way ({some}): {way}")
    if not sys.stdin.isatty():
        raise NotDoneError(
            f"not disabled, {count(machines)} in the way ({some}) and no terminal to ask on: {way}"
        )
    say(f"there {'is' if len(machines) == 1 else 'are'} {count(machines)}: {some}")
    print("Delete them all and disable the VM runtime? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotDoneError(f"not disabled, nothing changed: {way}")


def remove_all(client: Client, *, confirmed: bool, timeout: float) -> None:
    """Deletes every virtual machine and waits until none is left.

    Raises:
        NotDoneError: Some are left after ``timeout`` seconds, or some that nobody was asked about appeared.
    """
    machines = list_all(client)
    if machines and not confirmed:
        raise NotDoneError(f"not disabled: {count(machines)} created meanwhile")
    for machine in machines:
        delete(client, machine)
    left = machines

    def none_left() -> bool:
        nonlocal left
        left = list_all(client)
        return not left

    if machines:
        say(f"deleting {count(machines)} …")
        if not wait_until(none_left, timeout=timeout):
            raise NotDoneError(
                f"{count(left)} left after {timeout:g} s, "
                f"such as {left[0].namespace}/{left[0].name}: see what holds it with kubectl get -o yaml"
            )


def give_up(client: Client, *, enabled: bool) -> None:
    """Takes back that the VM runtime is being switched off; tells how where nobody answers.

    Args:
        client: A client that may change the VMRuntime.
        enabled: Whether its spec has it enabled; else it was being switched off before we came.
    """
    try:
        client.patch(PATH, {"metadata": {"annotations": {DISABLING_ANNOTATION: None}}})
        state = "stays enabled" if enabled else "switches off when the last virtual machine is gone"
        say(f"given up: the VM runtime {state}")
    except ApiError as error:
        if error.forbidden:  # so it was never said
            return
        say(
            f"given up, but virtual machines are still refused ({error}): allow them again with "
            f"kubectl annotate vmruntime {VM_RUNTIME_NAME} {DISABLING_ANNOTATION}-"
        )


def is_off(client: Client) -> bool:
    """Whether the controller has switched the VM runtime off."""
    return not flag(client.get(PATH), "status", "enabled")
