"""A report as JUnit XML, for continuous integration systems.

There is no one JUnit schema. This is valid in both that are in use: Jenkins' (junit-10.xsd of its xUnit
plugin) and Ant's as Windy Road wrote it down (JUnit.xsd). It has all that either requires, as both take it.
"""

from xml.etree import ElementTree as ET

from preflight.report import Report
from preflight.result import Result, Status, one_line


def junit(report: Report) -> str:
    """Returns a report as JUnit XML.

    A Fail that fails the node is a failure, such an Unknown an error. A warning has no place at a test case
    in either schema: warnings, and what an advisory check could not tell, are the suite's output.
    """
    results = report.results
    failures = [one for one in results if not one.passed and one.status is not Status.UNKNOWN]
    errors = [one for one in results if not one.passed and one.status is Status.UNKNOWN]
    skipped = [one for one in results if one.status is Status.SKIP]
    suites = ET.Element("testsuites")
    suite = ET.SubElement(
        suites,
        "testsuite",
        name="vm-preflight",
        package="vm-preflight",
        id="0",
        hostname=one_line(report.node) or "localhost",
        timestamp=report.start_time[:19],
        tests=str(len(results)),
        failures=str(len(failures)),
        errors=str(len(errors)),
        skipped=str(len(skipped)),
        time=f"{sum(one.duration_seconds for one in results):.6f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("kernelVersion", report.kernel_version),
        ("architecture", report.architecture),
        ("agentVersion", report.agent_version),
        ("mode", report.mode.value if report.mode else ""),
    ):
        ET.SubElement(properties, "property", name=name, value=one_line(value) or "-")
    for result in results:
        case(suite, result)
    warnings = [
        f"{one.check_name}: {told(one)}"
        for one in results
        if one.passed and one.status in (Status.WARN, Status.UNKNOWN)
    ]
    ET.SubElement(suite, "system-out").text = "\n".join(warnings)
    ET.SubElement(suite, "system-err").text = ""
    ET.indent(suites)
    return "<?xml version='1.0' encoding='UTF-8'?>\n" + ET.tostring(suites, encoding="unicode")


def case(suite: ET.Element, result: Result) -> None:
    """Adds one result to the suite."""
    element = ET.SubElement(
        suite,
        "testcase",
        name=result.check_name,
        classname="vm-preflight",
        time=f"{result.duration_seconds:.6f}",
    )
    if result.status is Status.SKIP:
        ET.SubElement(element, "skipped", message=one_line(result.message))
    elif not result.passed:
        tag = "error" if result.status is Status.UNKNOWN else "failure"
        ET.SubElement(element, tag, type=result.reason, message=one_line(result.message)).text = told(result)


def told(result: Result) -> str:
    """Returns what a person reads of a result: what happened, then what to do."""
    return "\n".join(one_line(part) for part in (result.message, result.hint) if part)
