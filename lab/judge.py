"""Compares what a machine's record says with what is true in it: pure."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lab.scenario import SEEN, Scenario

CAN, CANNOT, SILENT = "can", "cannot", "absent"


class Judgement(NamedTuple):
    """What came of a scenario.

    Attributes:
        scenario: Which.
        ours: Our check's status and reason, empty where there is none.
        unverified: Why the scenario's truth was not verified, empty where it was.
        wrong: What of ours is wrong, empty where all is right.
        references: Program to `CAN`, `CANNOT` or `SILENT`.
        release: The machine's kernel.
        seconds: What ours took inside.
    """

    scenario: Scenario
    ours: str = ""
    unverified: str = ""
    wrong: str = ""
    references: Mapping[str, str] = MappingProxyType({})
    release: str = ""
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        """Whether the truth was verified and ours agrees."""
        return not self.unverified and not self.wrong


def judge(scenario: Scenario, record: dict[str, Any]) -> Judgement:
    """Judges a machine's record."""
    ours, wrong = _ours(scenario, record["ours"])
    return Judgement(
        scenario,
        ours=ours,
        unverified=_unverified(scenario, record),
        wrong=wrong,
        references={name: _reference(name, said) for name, said in record["references"].items()},
        release=record["release"],
        seconds=record["ours"]["seconds"],
    )


def _unverified(scenario: Scenario, record: dict[str, Any]) -> str:
    for what in ("setup", "facts"):
        for done in record[what]:
            if done["status"] != 0:
                said = (done["errors"] or done["output"]).strip()
                return f"{what}: '{done['line']}' gave {done['status']} {said}".strip()
    seen = record["oracle"]["output"].strip() or record["oracle"]["errors"].strip() or "nothing"
    if seen != scenario.truth.oracle:
        return f"the oracle says '{seen.splitlines()[-1]}', not '{scenario.truth.oracle}'"
    return ""


def _ours(scenario: Scenario, done: dict[str, Any]) -> tuple[str, str]:
    """Our check's status and reason, and what is wrong with the report."""
    truth = scenario.truth
    try:
        report = json.loads(done["output"])
        results = {result["checkName"]: result for result in report["results"]}
        kvm, passed = results["KVM"], report["passed"]
        said = {name: f"{result['status']} {result['reason']}" for name, result in results.items()}
    except (ValueError, KeyError, TypeError) as error:
        last = (done["errors"].strip().splitlines() or ["nothing"])[-1]
        return "", f"no report: {type(error).__name__} {error}; standard error: {last}"
    text = f"{kvm['message']} {kvm.get('hint', '')}"
    wrong = [
        f"{name} is {said.get(name)}, not {want}"
        for name, want in truth.others.items()
        if said.get(name) != want
    ]
    wrong += [f"'{words}' is not in: {text}" for words in truth.mentions if words not in text]
    if said["KVM"] != f"{truth.status} {truth.reason}":
        wrong.insert(0, text)
    if passed is not truth.node_passes or done["status"] != (0 if passed else 1):
        failed = " ".join(name for name, result in results.items() if not result["passed"])
        wrong.append(f"passed is {passed} (exit {done['status']}; failed: {failed or 'none'})")
    return said["KVM"], "; ".join(wrong)


def _reference(name: str, done: dict[str, Any]) -> str:
    if done["status"] == 127:
        return SILENT
    if name == "virt-host-validate":
        lines = [line for line in done["output"].splitlines() if line.lstrip().startswith("QEMU")]
        asked = [line for line in lines if "hardware virtualization" in line or "/dev/kvm" in line]
        return SILENT if not asked else CANNOT if any("FAIL" in line for line in asked) else CAN
    return CAN if done["status"] == 0 else CANNOT


def reference_is_right(scenario: Scenario, verdict: str) -> bool:
    """Whether a reference's verdict is what the oracle saw."""
    return verdict == (CAN if scenario.truth.oracle in SEEN else CANNOT)
