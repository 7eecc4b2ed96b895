"""Judges findings: weights and ignored checks make results, results make the node's verdict and mode.

Pure: everything is passed in, nothing is read or written.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from preflight.check import Weight
from preflight.result import Finding, Result, Status

API_VERSION = "kubevm.io/v1alpha1"
KIND = "PreflightReport"


class Mode(StrEnum):
    """How VMs will run on the node."""

    HARDWARE = "Hardware"
    EMULATION = "Emulation"
    NONE = "None"


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding with what is needed to judge it.

    Attributes:
        name: The check's name.
        weight: The weight in force: the check's own, or the configured one.
        finding: What was found.
        duration_seconds: Time the check took, in seconds.
    """

    name: str
    weight: Weight
    finding: Finding
    duration_seconds: float = 0.0


def judge(judged: Judged, *, use_emulation: bool = False, ignored: Collection[str] = ()) -> Result:
    """Applies a check's weight to what it found.

    A Fail that does not fail the node is shown as Warn and keeps its reason. Unknown keeps its status under
    an advisory weight: it could not be told, whatever that means for the node.
    """
    finding = judged.finding
    status = finding.outcome.status
    passed = True
    if status in (Status.FAIL, Status.UNKNOWN):
        if judged.name in ignored or (judged.weight is Weight.UNLESS_EMULATED and use_emulation):
            status = Status.WARN
        elif judged.weight is not Weight.ADVISORY or finding.outcome.blocking:
            passed = False
        elif status is Status.FAIL:
            status = Status.WARN
    return Result(
        check_name=judged.name,
        status=status,
        passed=passed,
        reason=finding.outcome.reason,
        message=finding.message,
        hint=finding.hint,
        evidence=finding.evidence,
        duration_seconds=judged.duration_seconds,
    )


def mode_of(findings: Sequence[Judged], *, use_emulation: bool) -> Mode | None:
    """Tells how VMs will run: by hardware where `KVM` works, else by emulation if asked for and viable.

    Returns:
        None where `KVM` was not among the checks.
    """
    by_name = {one.name: one.finding.outcome for one in findings}
    kvm = by_name.get("KVM")
    if kvm is None:
        return None
    if kvm.status in (Status.PASS, Status.WARN):
        return Mode.HARDWARE
    emulation = by_name.get("Emulation")
    broken = emulation is not None and emulation.blocking
    return Mode.EMULATION if use_emulation and not broken else Mode.NONE


@dataclass(frozen=True, slots=True)
class Report:
    """One run on one host.

    Attributes:
        node: The node's or host's name.
        passed: Whether every result lets the node pass.
        mode: How VMs will run, None where `KVM` was not asked.
        results: One result for each check that was asked for.
        start_time: RFC 3339, UTC.
        completion_time: RFC 3339, UTC.
        kernel_version: ``uname -r``.
        architecture: ``uname -m``.
        agent_version: Version of this program.
        boot_id: ``/proc/sys/kernel/random/boot_id``, empty where it cannot be read.
    """

    node: str
    passed: bool
    mode: Mode | None
    results: tuple[Result, ...]
    start_time: str
    completion_time: str
    kernel_version: str
    architecture: str
    agent_version: str
    boot_id: str = ""

    def to_dict(self) -> dict[str, object]:
        """Returns the wire form, as `vm-preflight run -o json` prints it."""
        wire: dict[str, object] = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "node": self.node,
            "passed": self.passed,
        }
        if self.mode is not None:
            wire["mode"] = self.mode.value
        wire["results"] = [result.to_dict() for result in self.results]
        wire["startTime"] = self.start_time
        wire["completionTime"] = self.completion_time
        wire["kernelVersion"] = self.kernel_version
        wire["architecture"] = self.architecture
        wire["agentVersion"] = self.agent_version
        if self.boot_id:
            wire["bootID"] = self.boot_id
        return wire


def passed(results: Sequence[Result]) -> bool:
    """The node's verdict: every result lets it pass, and there is at least one."""
    return bool(results) and all(result.passed for result in results)
