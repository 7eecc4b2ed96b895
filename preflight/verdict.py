"""Judges findings: weights and ignored checks make results, results make the node's verdict and mode.

Pure: everything is passed in, nothing is read or written.
"""

from collections.abc import Collection, Mapping, Sequence

from preflight.check import Weight
from preflight.report import Mode
from preflight.result import Finding, Result, Status


def judge(
    name: str,
    weight: Weight,
    finding: Finding,
    duration_seconds: float,
    *,
    use_emulation: bool = False,
    ignored: Collection[str] = (),
) -> Result:
    """Applies a check's weight to what it found.

    A Fail that does not fail the node is shown as Warn and keeps its reason. Unknown keeps its status under
    an advisory weight: it could not be told, whatever that means for the node. An outcome declared as
    blocking overrides the weight, not a person who ignores the check.

    Args:
        name: The check's name.
        weight: The weight in force: the check's own, or the configured one.
        finding: What was found.
        duration_seconds: Time the check took, in seconds.
        use_emulation: VMs may run under software emulation.
        ignored: Names of checks that are shown as Warn at most.
    """
    outcome = finding.outcome
    status, passed = outcome.status, True
    if status in (Status.FAIL, Status.UNKNOWN):
        if name in ignored:
            status = Status.WARN
        elif outcome.blocking or weight is Weight.BLOCKING:
            passed = False
        elif weight is Weight.UNLESS_EMULATED:
            status, passed = (Status.WARN, True) if use_emulation else (status, False)
        elif status is Status.FAIL:
            status = Status.WARN
    return Result(
        check_name=name,
        status=status,
        passed=passed,
        reason=outcome.reason,
        message=finding.message,
        hint=finding.hint,
        evidence=finding.evidence,
        duration_seconds=duration_seconds,
    )


def mode_of(findings: Mapping[str, Finding], *, use_emulation: bool) -> Mode | None:
    """Tells how VMs will run: by hardware where `KVM` works, else by emulation if asked for and viable.

    Args:
        findings: What was found, by name of check.
        use_emulation: VMs may run under software emulation.

    Returns:
        None where `KVM` was not among the checks.
    """
    kvm = findings.get("KVM")
    if kvm is None:
        return None
    if kvm.outcome.status in (Status.PASS, Status.WARN):
        return Mode.HARDWARE
    emulation = findings.get("Emulation")
    proven_broken = emulation is not None and emulation.outcome.blocking
    return Mode.EMULATION if use_emulation and not proven_broken else Mode.NONE


def passed(results: Sequence[Result]) -> bool:
    """The node's verdict: every result lets it pass, and there is at least one."""
    return bool(results) and all(result.passed for result in results)
