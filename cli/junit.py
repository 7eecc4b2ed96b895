"""A report as JUnit XML, for continuous integration systems.

There is no one JUnit schema. This is valid in both that are in use: Jenkins' (junit-10.xsd of its xUnit plugin)
and Ant's as written down by Windy Road (JUnit.xsd): every element and attribute that either requires, in the
order that both take.
"""

from xml.etree import ElementTree

from cli.text import printable
from preflight.report import Report
from preflight.result import Result, Status


def junit(report: Report) -> str:
    """Returns a report as JUnit XML; a Fail that fails the node is a failure, such an Unknown an error."""
    results = report.results
    failures = [one for one in results if not one.passed and one.status is not Status.UNKNOWN]
    errors = [one for one in results if not one.passed and one.status is Status.UNKNOWN]
    skipped = [one for one in results if one.status is Status.SKIP]
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        name="vm-preflight",
        package="vm-preflight",
        id="0",
        hostname=printable(report.node),
        timestamp=report.start_time[:19],
        tests=str(len(results)),
        failures=str(len(failures)),
        errors=str(len(errors)),
        skipped=str(len(skipped)),
        time=f"{sum(one.duration_seconds for one in results):.6f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("kernelVersion", report.kernel_version),
        ("architecture", report.architecture),
        ("agentVersion", report.agent_version),
        ("mode", report.mode.value if report.mode else ""),
    ):
        ElementTree.SubElement(properties, "property", name=name, value=printable(value) or "-")
    for result in results:
        case(suite, result)
    ElementTree.SubElement(suite, "system-out").text = ""
    ElementTree.SubElement(suite, "system-err").text = ""
    ElementTree.indent(suites)
    return "<?xml version='1.0' encoding='UTF-8'?>\n" + ElementTree.tostring(suites, encoding="unicode")


def case(suite: ElementTree.Element, result: Result) -> None:
    """Adds one result to the suite."""
    element = ElementTree.SubElement(
        suite,
        "testcase",
        name=result.check_name,
        classname="vm-preflight",
        time=f"{result.duration_seconds:.6f}",
    )
    text = "\n".join(printable(part) for part in (result.message, result.hint) if part)
    if result.status is Status.SKIP:
        ElementTree.SubElement(element, "skipped", message=printable(result.message))
    elif not result.passed:
        tag = "error" if result.status is Status.UNKNOWN else "failure"
        told = ElementTree.SubElement(element, tag, type=result.reason, message=printable(result.message))
        told.text = text
    elif result.status is Status.WARN:
        ElementTree.SubElement(element, "system-out").text = f"warning {result.reason}: {text}"
