"""The report of one run on one host, and its wire form."""

import re
from enum import StrEnum
from typing import NamedTuple

from preflight.fields import FieldError, Fields
from preflight.result import MAX_EVIDENCE, MAX_KEY, MAX_SECONDS, NO_EVIDENCE, Result, Status

API_VERSION = "kubevm.io/v1alpha1"
KIND = "PreflightReport"

MAX_RESULTS = 256
"""Results that a report can hold."""

MAX_NAME = 253
"""Characters of a node's name (Kubernetes: names of objects, DNS subdomain) and of every version string."""

NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
"""CamelCase word: the name of a check, or a reason (Kubernetes API conventions)."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


class Mode(StrEnum):
    """How VMs will run on the node."""

    HARDWARE = "Hardware"
    EMULATION = "Emulation"
    NONE = "None"


class Report(NamedTuple):
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


def report_from_dict(wire: object) -> Report:
    """Reads a report that another process sent, trusting nothing in it.

    Fields that are not known are left out, so that an older agent can read a newer probe.

    Raises:
        FieldError: A field is missing, has a wrong type or size, or contradicts another; it is named.
    """
    fields = Fields(wire)
    for key, word in (("apiVersion", API_VERSION), ("kind", KIND)):
        if fields.text(key) != word:
            raise fields.error(key, f"not {word}")
    results = tuple(
        result_from_dict(item, f"results[{index}]")
        for index, item in enumerate(fields.sequence("results", MAX_RESULTS))
    )
    if len({result.check_name for result in results}) < len(results):
        raise fields.error("results", "a check stands there twice")
    passed = fields.flag("passed")
    if passed is not (bool(results) and all(result.passed for result in results)):
        raise fields.error("passed", "contradicts the results")
    return Report(
        node=fields.text("node", MAX_NAME),
        passed=passed,
        mode=fields.word("mode", Mode) if fields.has("mode") else None,
        results=results,
        start_time=_time(fields, "startTime"),
        completion_time=_time(fields, "completionTime"),
        kernel_version=fields.text("kernelVersion", MAX_NAME),
        architecture=fields.text("architecture", MAX_NAME),
        agent_version=fields.text("agentVersion", MAX_NAME),
        boot_id=fields.text("bootID", MAX_NAME) if fields.has("bootID") else "",
    )


def _time(fields: Fields, key: str) -> str:
    from datetime import datetime  # a run from cold reads no report

    text = fields.text(key, pattern=_TIME)
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise fields.error(key, f"no time: {error}") from None
    return text


def result_from_dict(wire: object, where: str = "") -> Result:
    """Reads one result that another process sent, trusting nothing in it.

    Args:
        wire: What was sent.
        where: Where it stands in what was sent, for the message.

    Raises:
        FieldError: As `report_from_dict`.
    """
    fields = Fields(wire, where)
    status = fields.word("status", Status)
    passed = fields.flag("passed")
    if (status is Status.FAIL and passed) or (
        status in (Status.PASS, Status.WARN, Status.SKIP) and not passed
    ):
        raise fields.error("passed", f"contradicts the status {status}")
    return Result(
        check_name=fields.text("checkName", pattern=NAME),
        status=status,
        passed=passed,
        reason=fields.text("reason", pattern=NAME),
        message=fields.text("message"),
        hint=fields.text("hint") if fields.has("hint") else None,
        evidence=fields.texts("evidence", MAX_EVIDENCE, key_limit=MAX_KEY)
        if fields.has("evidence")
        else NO_EVIDENCE,
        duration_seconds=fields.number("durationSeconds", minimum=0, maximum=MAX_SECONDS),
    )


__all__ = [
    "API_VERSION",
    "KIND",
    "MAX_NAME",
    "NAME",
    "FieldError",
    "Mode",
    "Report",
    "report_from_dict",
    "result_from_dict",
]
