"""``vm-preflight enable vmruntime`` and ``disable vmruntime``: the switch, as GDC's ``bmctl`` has it."""

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
from cli.vm_removal import (
    ask,
    delete_what_is_left,
    existing,
    refuse_or_go_on,
    remove_all,
    require_rights,
    told,
    warn_of_makers,
)
from cluster.resources import (
    DISABLING_ANNOTATION,
    NAMESPACE,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
)
from cluster.shapes import flag, items, mapping, number, text
from cluster.transport import ApiError, Client
from controller.status import DISABLE_BLOCKED
from controller.switch import Obstacle
from preflight.result import one_line

PATH = VM_RUNTIMES.path(VM_RUNTIME_NAME)
LAST = ("status", "preflightCheckSummary", "lastCompleted")
CUT_OFF = (
    "it takes no new virtual machines, since it is being switched off; if no command does that any more: "
    f"kubectl annotate vmruntime {VM_RUNTIME_NAME} {DISABLING_ANNOTATION}-"
)
LOOK = f"kubectl describe vmruntime {VM_RUNTIME_NAME}"
WATCH = f"kubectl get vmruntimepfc -n {NAMESPACE} --watch"


def main(program: str, words: Sequence[str]) -> int:
    """Enables or disables the VM runtime.

    Returns:
        0 if it was done, 1 if the verdict is no, 3 if ``enable --wait`` saw none in time.

    Raises:
        UsageError: Wrong words.
        NotDoneError: It was not done.
    """
    verb = program.split()[-1]
    if words[:1] in (["-h"], ["--help"]):
        words = ["vmruntime", *words]
    if not words or words[0] != "vmruntime":
        raise UsageError(f"say '{verb} vmruntime'")
    command = enable if verb == "enable" else disable
    return command(f"{program} vmruntime", words[1:])


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
        generation = int(number(accepted, "metadata", "generation"))
        return wait_for_verdict(program, client, generation, options.timeout)


def wait_for_verdict(program: str, client: Client, generation: int, timeout: float) -> int:
    """Waits until a check has answered for ``generation`` of the VM runtime and prints its verdict."""
    runtime: Mapping[str, object] = {}

    def finished() -> bool:
        nonlocal runtime
        runtime = client.get(PATH)
        last = mapping(runtime, *LAST)
        return number(runtime, "status", "observedGeneration") >= generation and bool(last)

    if not wait_until(finished, timeout=timeout):
        complain(program, f"no verdict after {timeout:g} s; look on with: {WATCH}")
        return NO_VERDICT
    name = text(runtime, *LAST, "name")
    passed = flag(runtime, *LAST, "passed")
    print(f"{name} {'passed' if passed else 'failed'}")
    if not passed:
        say(f"see why: kubectl get vmruntimepfc -n {NAMESPACE} {one_line(name)} -o yaml")
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
        machines = existing(client)
        if machines and not options.force:
            refuse_or_go_on(machines, runtime)
        require_rights(client, machines)
        warn_of_makers(machines)
        if machines and not options.force:
            ask(machines)
        switch_off(client, confirmed=bool(machines) or options.force, timeout=options.timeout)
        return 0


def switch_off(client: Client, *, confirmed: bool, timeout: float) -> None:
    """Deletes the virtual machines, if that was ``confirmed``, and switches off; else all stays as it was.

    Raises:
        NotDoneError: It was given up, and the VM runtime stays as it was, but for machines that are gone.
    """
    disabled = {"metadata": {"annotations": {DISABLING_ANNOTATION: None}}, "spec": {"enabled": False}}
    with hangup_and_termination_interrupt():
        try:
            client.patch(PATH, {"metadata": {"annotations": {DISABLING_ANNOTATION: "true"}}})
            remove_all(client, confirmed=confirmed, timeout=timeout)
            client.patch(PATH, disabled)
        except BaseException:
            give_up(client)
            raise
        try:
            wait_until_off(client, confirmed=confirmed, timeout=timeout)
        except KeyboardInterrupt:
            say(f"the VM runtime is being switched off: {LOOK}")
            raise
    print("VM runtime disabled.")


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


def give_up(client: Client) -> None:
    """Takes back that the VM runtime is being switched off; tells how where that cannot be done."""
    try:
        runtime = client.patch(PATH, {"metadata": {"annotations": {DISABLING_ANNOTATION: None}}})
    except ApiError as error:
        if not error.forbidden:  # else it was never said
            say(
                f"given up, but virtual machines may still be refused ({told(error)}): allow them again with "
                f"kubectl annotate vmruntime {VM_RUNTIME_NAME} {DISABLING_ANNOTATION}-"
            )
        return
    enabled = flag(runtime, "spec", "enabled")
    state = "stays enabled" if enabled else "switches off when the last virtual machine is gone"
    say(f"given up: the VM runtime {state}")


def wait_until_off(client: Client, *, confirmed: bool, timeout: float) -> None:
    """Waits until the controller has switched the VM runtime off.

    A virtual machine that was created in the very moment in which the gate began to refuse is in its way: it
    is deleted too, if that was ``confirmed``.

    Raises:
        NotDoneError: It has not in time, or virtual machines are in the way; the message says so.
    """
    why = ""

    def off() -> bool:
        nonlocal why
        runtime = client.get(PATH)
        if not flag(runtime, "status", "enabled"):
            return True
        reason, why = blocked(runtime)
        if reason in (Obstacle.PROTECTED, Obstacle.WAITING):
            if not confirmed:
                raise NotDoneError(why)
            delete_what_is_left(client)
        return False

    if not wait_until(off, timeout=timeout):
        why = why or f"is its controller running? kubectl get pods -n {NAMESPACE}"
        raise NotDoneError(f"not switched off after {timeout:g} s: {why}")


def blocked(runtime: Mapping[str, object]) -> tuple[str, str]:
    """Returns reason and message of what keeps the VM runtime from going off, empty where nothing does."""
    for one in items(runtime, "status", "conditions"):
        if text(one, "type") == DISABLE_BLOCKED and text(one, "status") == "True":
            return text(one, "reason"), text(one, "message")
    return "", ""
