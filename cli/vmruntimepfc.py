"""``vm-preflight check vmruntimepfc``: asks for a check of every node, waits for it, prints the result."""

import uuid
from collections.abc import Iterator, Mapping, Sequence

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
from cli.options import Parser, UsageError, complain, duration
from cli.progress import Progress, told
from cluster.resources import CHECKS, NAMESPACE
from cluster.shapes import flag, mapping, sequence, text
from cluster.transport import ApiError, Client
from preflight.result import one_line


def main(program: str, words: Sequence[str]) -> int:
    """Does as `check`, once the words name a check of the VM runtime.

    Raises:
        UsageError: Wrong words.
    """
    if words[:1] in (["-h"], ["--help"]):
        words = ["vmruntimepfc", *words]
    if not words or words[0] != "vmruntimepfc":
        raise UsageError("say 'check vmruntimepfc'")
    return check(f"{program} vmruntimepfc", words[1:])


def check(program: str, words: Sequence[str]) -> int:
    """Creates a VMRuntimePreflightCheck, waits until it is finished and prints its verdict.

    Returns:
        0 passed, 1 failed, 3 no verdict in time.

    Raises:
        NotDoneError: It was not created, or somebody deleted it.
    """
    parser = Parser(program, "Checks every node of a cluster now and waits for the verdict.")
    cluster_options(parser)
    parser.option("--timeout", duration, default=720.0, metavar="SECONDS", help="longest wait")
    options = parser.parse_args(words)
    name = f"vmruntime-preflight-check-manual-{uuid.uuid4().hex[:8]}"
    path = CHECKS.path(name, namespace=NAMESPACE)
    look = f"kubectl get vmruntimepfc -n {NAMESPACE} {name}"
    with connection(options) as client:
        found: Mapping[str, object] = {}
        progress = Progress()

        def finished() -> bool:
            nonlocal found
            try:
                found = client.get(path)
            except ApiError as error:
                if error.not_found:
                    raise NotDoneError(f"{name} was deleted before it had a verdict") from error
                raise
            progress.show(found)
            return bool(text(found, "status", "completionTime"))

        created = False
        try:
            create(client, name)
            created = True
            say(f"created {name}, waiting for the nodes to answer")
            ended = wait_until(finished, timeout=options.timeout)
        except KeyboardInterrupt:
            say(f"{'the check goes on' if created else 'if the check was created, it goes on'}: {look}")
            raise
        finally:
            progress.end()
    if not ended:
        complain(program, f"{name}: no verdict after {options.timeout:g} s; {why_unfinished(found, look)}")
        return NO_VERDICT
    print("\n".join(verdict(name, found)))
    return 0 if flag(found, "status", "pass") else FAILED


def create(client: Client, name: str) -> None:
    """Asks for a check.

    Raises:
        NotDoneError: vm-preflight is not installed.
        ApiError: It may not be created, or the API server does not answer.
    """
    body = {
        "apiVersion": CHECKS.api_version,
        "kind": CHECKS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
    }
    try:
        client.create(CHECKS.path(namespace=NAMESPACE), body)
    except ApiError as error:
        raise not_installed() if error.not_found else error from error


def why_unfinished(check: Mapping[str, object], look: str) -> str:
    """Says what a check waits for, and where to look."""
    if line := told(check, bar=False):
        return f"{line}; it goes on: {look}"
    return f"nobody has picked it up; is the controller running? kubectl get pods -n {NAMESPACE}"


def verdict(name: str, check: Mapping[str, object]) -> Iterator[str]:
    """Yields the check's verdict, then what did not pass on each failed node."""
    yield f"{name} {'passed' if flag(check, 'status', 'pass') else 'failed'}"
    failed = [node for node, told in mapping(check, "status", "checks").items() if not flag(told, "passed")]
    details = mapping(check, "status", "failures")
    for node in sorted(failed):
        yield f"  {one_line(node)} failed"
        for result in sequence(details.get(node, {}), "results"):
            if flag(result, "passed"):
                continue
            first, *rest = text(result, "message").splitlines() or [""]
            yield f"    {one_line(text(result, 'checkName'))}: {one_line(first)}"
            yield from (f"      → {one_line(line)}" for line in rest)
    for condition in sequence(check, "status", "conditions"):
        if text(condition, "type") == "Complete" and text(condition, "message"):
            yield f"  {one_line(text(condition, 'message'))}"
