import json
from typing import Any

import pytest

from lab import table
from lab.judge import CAN, CANNOT, SILENT, Judgement, judge, reference_is_right
from lab.scenario import Scenario, Truth
from lab.x86 import BOOKWORM, fails, runs

WORKS = Scenario("x86/works", BOOKWORM, runs("true"), setup=("modprobe kvm_amd",))
MISSING = Scenario("x86/missing", BOOKWORM, fails("DeviceMissing", "open ENOENT", mentions=("mknod",)))


def done(output: str = "", status: int = 0, errors: str = "") -> dict[str, Any]:
    return {"status": status, "output": output, "errors": errors, "seconds": 0.1}


def report(*, passed: bool, **results: str) -> dict[str, Any]:
    listed = []
    for name, told in results.items():
        status, reason, message = told.split(" ", 2)
        listed.append(
            {
                "checkName": name,
                "status": status,
                "reason": reason,
                "message": message,
                "passed": status in ("Pass", "Warn"),
            }
        )
    return done(json.dumps({"passed": passed, "results": listed}), 0 if passed else 1)


def record(ours: dict[str, Any], oracle: str, **changes: Any) -> dict[str, Any]:
    return {
        "setup": [],
        "facts": [],
        "ours": ours,
        "oracle": done(oracle + "\n"),
        "references": {},
        "release": "6.1.0-1-cloud-amd64",
        **changes,
    }


RAN = report(passed=True, KVM="Pass GuestRan it ran")
ABSENT = report(passed=False, KVM="Fail DeviceMissing ENOENT; mknod it")


def test_what_agrees_is_right() -> None:
    assert judge(WORKS, record(RAN, "guest ran")).right
    assert judge(MISSING, record(ABSENT, "open ENOENT")).right


def test_the_verdict_must_agree() -> None:
    judgement = judge(MISSING, record(RAN, "open ENOENT"))
    assert not judgement.right
    assert judgement.ours == "Pass GuestRan"
    assert "passed is True" in judgement.wrong


def test_the_cause_must_agree() -> None:
    other = report(passed=False, KVM="Fail StaleDevice mknod is no help")
    judgement = judge(MISSING, record(other, "open ENOENT"))
    assert judgement.wrong == "mknod is no help "
    assert not judgement.unverified


def test_words_must_be_there() -> None:
    silent = report(passed=False, KVM="Fail DeviceMissing ENOENT")
    assert "'mknod' is not in" in judge(MISSING, record(silent, "open ENOENT")).wrong


def test_the_node_fails_with_another_check() -> None:
    tun = Scenario("x86/a", BOOKWORM, Truth("Pass", "GuestRan", "guest ran", passed=False))
    both = report(passed=False, KVM="Pass GuestRan it ran", Tun="Fail DeviceMissing ENOENT")
    assert judge(tun, record(both, "guest ran")).right
    assert "failed: Tun" in judge(WORKS, record(both, "guest ran")).wrong


def test_another_check_must_agree() -> None:
    truth = Truth("Pass", "GuestRan", "guest ran", others={"CPU": "Pass FlagPresent"})
    judgement = judge(Scenario("x86/a", BOOKWORM, truth), record(RAN, "guest ran"))
    assert judgement.wrong == "CPU is None, not Pass FlagPresent"


def test_the_exit_status_must_agree() -> None:
    assert "exit 0" in judge(MISSING, record({**ABSENT, "status": 0}, "open ENOENT")).wrong


@pytest.mark.parametrize("output", ["", "Traceback", "[]", "{}", '{"passed": true, "results": []}', "null"])
def test_no_report_is_wrong(output: str) -> None:
    judgement = judge(WORKS, record(done(output, 1, "the\nend"), "guest ran"))
    assert "no report" in judgement.wrong
    assert "the" not in judgement.wrong.partition("standard error: ")[0]
    assert judgement.wrong.endswith("end")


def test_a_truth_that_the_oracle_does_not_see_is_not_verified() -> None:
    judgement = judge(WORKS, record(RAN, "open EACCES"))
    assert not judgement.right
    assert "open EACCES" in judgement.unverified
    assert judgement.wrong == ""


@pytest.mark.parametrize("what", ["setup", "facts"])
def test_a_line_that_fails_leaves_the_truth_unverified(what: str) -> None:
    line = {"line": "modprobe kvm_amd", **done("", 1, "no such module")}
    judgement = judge(WORKS, record(RAN, "guest ran", **{what: [line]}))
    assert judgement.unverified == f"{what}: 'modprobe kvm_amd' gave 1 no such module"


VALIDATE = """\
  QEMU: Checking for hardware virtualization                 : {}
  QEMU: Checking if device /dev/kvm exists                   : {}
  QEMU: Checking if device /dev/net/tun exists               : FAIL (Load the 'tun' module)
   LXC: Checking if device /sys/fs/fuse/connections exists   : FAIL (Load the 'fuse' module)
"""


@pytest.mark.parametrize(
    ("name", "said", "verdict"),
    [
        ("kvm-ok", done(), CAN),
        ("kvm-ok", done(status=1), CANNOT),
        ("kvm-ok", done(status=127), SILENT),
        ("virt-host-validate", done(VALIDATE.format("PASS", "PASS"), 1), CAN),
        ("virt-host-validate", done(VALIDATE.format("PASS", "FAIL (x)"), 1), CANNOT),
        ("virt-host-validate", done(VALIDATE.format("FAIL (x)", "PASS"), 1), CANNOT),
        ("virt-host-validate", done("", 127), SILENT),
        ("virt-host-validate", done("", 1), SILENT),
    ],
)
def test_what_the_references_say(name: str, said: dict[str, Any], verdict: str) -> None:
    judgement = judge(WORKS, record(RAN, "guest ran", references={name: said}))
    assert judgement.references == {name: verdict}
    assert reference_is_right(WORKS, verdict) == (verdict == CAN)
    assert reference_is_right(MISSING, verdict) == (verdict == CANNOT)


def test_the_table_marks_what_is_wrong() -> None:
    right = judge(WORKS, record(RAN, "guest ran", references={"kvm-ok": done(status=1)}))
    wrong = judge(MISSING, record(RAN, "open ENOENT"))
    unverified = Judgement(WORKS, unverified="no record")
    assert table.row(right)[1:4] == ("6.1.0", "Pass GuestRan", "✓ Pass GuestRan")
    assert table.row(right)[-1] == "✗ cannot"
    assert table.row(wrong)[3] == "✗ Pass GuestRan"
    assert table.row(unverified)[3] == "? no report"


def test_the_summary_names_what_is_wrong_and_what_did_not_run() -> None:
    right, wrong = judge(WORKS, record(RAN, "guest ran")), judge(MISSING, record(RAN, "open ENOENT"))
    text = table.summary([right, wrong], [(WORKS, "forky: no index"), (MISSING, "forky: no index")])
    assert "x86/missing: wrong:" in text
    assert "not run, forky: no index: x86/works x86/missing" in text
    assert text.splitlines()[-1].startswith("1 of 2 right")
    assert text.endswith("2 not run")
