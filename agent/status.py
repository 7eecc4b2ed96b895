"""NodePreflight's status as the agent writes it: a report without its evidence, as a merge patch."""

from datetime import datetime

from cluster.node_preflight import NodeStatus
from preflight.report import Report
from preflight.result import NO_EVIDENCE


def patch(report: Report, run_id: str) -> dict[str, object]:
    """Returns the merge patch that publishes a report.

    Args:
        report: What was found.
        run_id: The requested run that it answers; empty for none, and then the last answered one stays.
    """
    status = NodeStatus(
        run_id=run_id,
        passed=report.passed,
        mode=report.mode.value if report.mode else "",
        results=tuple(result._replace(evidence=NO_EVIDENCE).to_dict() for result in report.results),
        start_time=datetime.fromisoformat(report.start_time),
        completion_time=datetime.fromisoformat(report.completion_time),
        boot_id=report.boot_id,
        kernel_version=report.kernel_version,
        agent_version=report.agent_version,
    ).to_dict()
    status["failedChecks"] = ",".join(result.check_name for result in report.results if not result.passed)
    if not run_id:
        del status["runID"]
    return {"status": status}
