"""The status that the agent writes."""

import reports

from agent.status import patch

REPORT = reports.report(*reports.EVERY_STATUS)._replace(boot_id="b")


def test_answer_to_a_request() -> None:
    status = patch(REPORT, "run-1")["status"]
    assert isinstance(status, dict)
    results = status.pop("results")
    assert status == {
        "runID": "run-1",
        "passed": False,
        "mode": "None",
        "failedChecks": "KVM,Tun",
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:00:01Z",
        "bootID": "b",
        "kernelVersion": "6.1.0",
        "agentVersion": "0.0.0",
    }
    assert results[:2] == [
        {
            "checkName": "KVM",
            "status": "Fail",
            "passed": False,
            "reason": "DeviceMissing",
            "message": "/dev/kvm: No such file or directory",
            "hint": "mknod /dev/kvm c 10 232",
            "durationSeconds": 0.0,
        },
        {
            "checkName": "CPU",
            "status": "Pass",
            "passed": True,
            "reason": "FlagPresent",
            "message": "vmx on all 2 CPUs",
            "durationSeconds": 0.0,
        },
    ]


def test_what_nobody_asked_for_leaves_the_last_answered_run_as_it_is() -> None:
    status = patch(REPORT, "")["status"]
    assert isinstance(status, dict)
    assert "runID" not in status


def test_a_mode_that_is_not_known_is_taken_away_and_evidence_is_left_out() -> None:
    result = reports.EVERY_STATUS[1]._replace(evidence={"/proc/cpuinfo": "x"})
    status = patch(reports.report(result, mode=None, passed=True), "run-1")["status"]
    assert isinstance(status, dict)
    assert status["mode"] is None
    assert "evidence" not in status["results"][0]
