"""The report of a run that the probe did not answer."""

from agent import unanswered
from agent.unanswered import NOT_UNDERSTOOD, REFUSED, TIMED_OUT, UNAVAILABLE, Origin, ProbeError
from preflight.report import report_from_dict
from preflight.result import Status

WHERE = Origin("worker-0", "1.0", "6.1", "x86_64", "b")


def test_says_what_was_tried_what_came_back_and_what_to_do() -> None:
    error = ProbeError(UNAVAILABLE, "socket /run/p.sock: Connection refused")
    report = unanswered.report(WHERE, error, attempts=4, begun=1000.0, ended=1055.3)
    (result,) = report.results
    assert (result.check_name, result.status, result.passed) == ("Probe", Status.UNKNOWN, False)
    assert result.reason == "ProbeUnavailable"
    assert result.message == "asked the probe 4 times in 55 s: socket /run/p.sock: Connection refused"
    assert result.hint
    assert (report.passed, report.mode, report.node, report.boot_id) == (False, None, "worker-0", "b")


def test_is_a_report_that_everybody_reads() -> None:
    for outcome in (UNAVAILABLE, TIMED_OUT, NOT_UNDERSTOOD, REFUSED):
        for attempts in (0, 1, 2):
            error = ProbeError(outcome, "x\n" * 5000)
            report = unanswered.report(WHERE, error, attempts=attempts, begun=5.0, ended=4.0)
            assert report_from_dict(report.to_dict()) == report


def test_origin_is_this_kernel() -> None:
    where = unanswered.origin("worker-0", "1.0")
    assert where.node == "worker-0"
    assert where.kernel_version
    assert "\n" not in where.boot_id
