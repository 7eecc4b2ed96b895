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
from cluster.resources import CHECKS, NAMESPACE
from cluster.shapes import flag, mapping, sequence, text
from cluster.transport import ApiError
from preflight.result import one_line


def main(program: str, words: Sequence[str]) -> int:
    """Creates a VMRuntimePreflightCheck, waits until it is finished and prints its verdict.

    Returns:
        0 passed, 1 failed or not created, 3 no verdict in time.

    Raises:
        UsageError: Wrong words.
    """
    if words[:1] in (["-h"], ["--help"]):
        words = ["vmruntimepfc", *words]
    if not words or words[0] != "vmruntimepfc":
        raise UsageError("say 'check vmruntimepfc'")
    program = f"{program} vmruntimepfc"
    parser = Parser(program, "Checks every node of a cluster now and waits for the verdict.")
    cluster_options(parser)
    parser.option("--timeout", duration, default=720.0, metavar="SECONDS", help="longest wait")
    options = parser.parse_args(words[1:])
    name = f"vmruntime-preflight-check-manual-{uuid.uuid4().hex[:8]}"
    try:
        with connection(options) as client:
            body = {
                "apiVersion": CHECKS.api_version,
                "kind": CHECKS.kind,
                "metadata": {"name": name, "namespace": NAMESPACE},
            }
            try:
                client.create(CHECKS.path(namespace=NAMESPACE), body)
            except ApiError as error:
                raise not_installed() if error.not_found else error from error
            say(f"created {name}, waiting for the nodes to answer")
            check: Mapping[str, object] = {}

            def finished() -> bool:
                nonlocal check
                try:
                    check = client.get(CHECKS.path(name, namespace=NAMESPACE))
                except ApiError as error:
                    if error.not_found:
                        raise NotDoneError(f"{name} was deleted before it had a verdict") from error
                    raise
                return bool(text(check, "status", "completionTime"))

            try:
                ended = wait_until(finished, timeout=options.timeout)
            except KeyboardInterrupt:
                say(f"the check goes on: kubectl get vmruntimepfc -n {NAMESPACE} {name}")
                raise
    except NotDoneError as error:
        complain(program, error)
        return FAILED
    if not ended:
        complain(program, f"{name}: no verdict after {options.timeout:g} s; is the controller running?")
        return NO_VERDICT
    print("\n".join(verdict(name, check)))
    return 0 if flag(check, "status", "pass") else FAILED


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
