"""What people and programs are shown of results and objects that may be hostile, and what they type."""

import contextlib
import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import yaml
from cluster_targets import PREFLIGHT, Wire, spoilt, worlds
from inputs import Source, Target
from prometheus_client import CollectorRegistry, Metric, exposition, parser
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser
from reports import EVERY_STATUS, report
from wire_targets import hostile_report

from agent import page
from agent.decide import Trigger
from agent.metrics import AgentMetrics
from agent.probe_logs import Formatter
from cli.junit import junit
from cli.options import USAGE, Parser, choice, columns, duration, names
from cli.run import render
from cli.text import plain, table
from cli.vmruntimepfc import verdict
from cluster.node_preflight import from_object
from controller import objects
from controller import page as controller_page
from daemon import address, html
from daemon.endpoints import Endpoints
from daemon.request import Request, RequestError, parse, wants_openmetrics
from preflight.report import Mode, Report
from preflight.result import MAX_TEXT

# The client library leaves these without types.
write_text: Callable[[CollectorRegistry], bytes] = exposition.generate_latest
write_openmetrics: Callable[[CollectorRegistry], bytes] = openmetrics_exposition.generate_latest
read_text: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families
read_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families

COLOUR = re.compile(r"\x1b\[\d+m")


def any_report(source: Source) -> Report:
    """Returns a report with any text where a check or a host could have put it, accepted by nobody."""
    results = tuple(
        one._replace(
            message=source.text(60),
            hint=source.pick((source.text(60), one.hint)),
            evidence={source.text(): source.text()},
            duration_seconds=source.pick((0.5, 0.0, 1e9)),
        )
        for one in EVERY_STATUS[: source.below(6)]
    )
    made = report(
        *results, node=source.text(40), passed=source.below(2) == 0, mode=source.pick((None, *Mode))
    )
    return made._replace(kernel_version=source.text(), architecture=source.text(), boot_id=source.text())


def show_text(data: bytes) -> None:
    """Text has a printable line for each result, hint and verdict; no escapes but our colours."""
    source = Source(data)
    shown = any_report(source)
    lines = plain(shown).split("\n")
    assert all(line.isprintable() and len(line) < 2 * MAX_TEXT for line in lines)
    assert len(shown.results) < len(lines) <= 2 * len(shown.results) + 1
    assert lines[-1].startswith("node ")
    for result, line in zip(shown.results, [line for line in lines if " hint: " not in line], strict=False):
        assert line.startswith(f"{result.check_name} {result.status.value} {result.reason}")
    for colour in (False, True):
        painted = table(shown, width=source.pick((80, 0, -5, 1 << 40)), colour=colour)
        assert all(COLOUR.sub("", line).isprintable() for line in painted.split("\n"))
        assert colour or "\x1b" not in painted


def show_junit(data: bytes) -> None:
    """JUnit is well-formed XML that counts what it holds, whatever the results say."""
    shown = any_report(Source(data))
    suite = ET.fromstring(junit(shown).encode("utf-8")).find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [result.check_name for result in shown.results]
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[attribute]) == len(suite.findall(f"testcase/{tag}"))
    blocked = [result for result in shown.results if not result.passed]
    assert len(suite.findall("testcase/failure")) + len(suite.findall("testcase/error")) == len(blocked)


def show_for_programs(data: bytes) -> None:
    """JSON and YAML of a report that was accepted are read back as it is."""
    read = hostile_report(Source(data))
    if read is not None:
        assert json.loads(render(read, "json")) == read.to_dict()
        assert yaml.safe_load(render(read, "yaml")) == read.to_dict()
        show_metrics_of(read)
        ET.fromstring(junit(read).encode("utf-8"))


def show_metrics_of(read: Report) -> None:
    """Metrics are read by Prometheus' own parsers, with one status for each check."""
    metrics = AgentMetrics(version="1", python="3.11", kernel=read.kernel_version)
    metrics.observe(read, Trigger.REQUESTED, seconds=0.1, finished=1.0)
    registry = CollectorRegistry()
    registry.register(metrics)
    for families in (
        read_text(write_text(registry).decode()),
        read_openmetrics(write_openmetrics(registry).decode()),
    ):
        samples = [sample for family in families for sample in family.samples]
        told = [sample.labels for sample in samples if sample.name == "vm_preflight_check_status"]
        assert told == [
            {"check": one.check_name, "status": one.status.value, "reason": one.reason}
            for one in read.results
        ]


def show_metrics(data: bytes) -> None:
    """Metrics of any report are read by Prometheus' own parsers, with the same labels."""
    source = Source(data)

    def name() -> str:
        return source.take(source.below(24)).decode("utf-8", "replace")

    results = [one._replace(check_name=one.check_name + name(), reason=name()) for one in EVERY_STATUS]
    show_metrics_of(report(*results)._replace(kernel_version=name()))


class Balance(HTMLParser):
    """Reads a page and holds its elements to be closed in order, and to be none that we do not write."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Takes the start of an element."""
        assert tag not in ("script", "img", "iframe", "object")
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Takes its end."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Takes text."""
        self.text.append(data)


def read_page(document: str) -> list[str]:
    """Returns a page's text, if its elements are closed."""
    document.encode("utf-8", "replace")
    balance = Balance()
    balance.feed(document)
    balance.close()
    assert balance.open == []
    return balance.text


def show_pages(data: bytes) -> None:
    """Nothing that a result, a node or a check says becomes an element of a page."""
    source = Source(data)
    shown = any_report(source)
    view = page.View("<b>" + shown.node, "1", report=shown, problem=source.text(), run_id=source.text())
    assert any("<b>" in text for text in read_page(page.render(view)))
    cluster = source.pick(worlds())
    runtime = objects.runtime(spoilt(source, cluster.runtime or {}))
    checks = [objects.check(spoilt(source, wire)) for wire in cluster.checks.values()]
    nodes = [objects.node(spoilt(source, wire)) for wire in cluster.nodes.values()]
    preflights = {node.name: from_object(spoilt(source, PREFLIGHT)) for node in nodes}
    read_page(controller_page.render(runtime, checks, nodes, preflights, note=source.text()))
    given = source.rest().decode("utf-8", "replace").replace("\r", "").replace("\0", "")
    assert "".join(read_page(html.element("p", given, title=given))) == given


CHECK: Wire = {
    "status": {
        "pass": False,
        "checks": {"a": {"passed": False}, "b": {"passed": True}},
        "failures": {"a": {"results": [{"checkName": "KVM", "passed": False, "message": "what\nhint"}]}},
        "conditions": [{"type": "Complete", "message": "1 of 2 nodes passed"}],
    }
}


def show_verdicts(data: bytes) -> None:
    """A check's verdict is told in printable lines, whatever its status holds."""
    told = list(verdict("check-0", spoilt(Source(data), CHECK)))
    assert told
    assert all(line.isprintable() for line in told)


def log_anything(data: bytes) -> None:
    """A log entry is one line, printable or JSON, whatever is logged."""
    source = Source(data)
    record = logging.makeLogRecord(
        {"name": "x", "levelno": 20, "levelname": "INFO", "msg": source.text(), "extra": source.json()}
    )
    for as_json in (False, True):
        line = Formatter(as_json=as_json).format(record)
        assert "\n" not in line
        if as_json:
            assert json.loads(line)["event"] == record.msg
        else:
            assert line.isprintable()


def type_options(data: bytes) -> None:
    """Options are taken, or refused in one printable line with status 2; so are environment variables."""
    source = Source(data)
    known = (
        "--timeout",
        "--only",
        "-o",
        "--use-emulation",
        "--use-emulation=true",
        "90s",
        "text",
        "KVM",
        "--help-me",
    )
    words = [source.pick((*known, source.text().replace("\0", ""))) for _ in range(source.below(5))]
    variables = {
        f"VM_PREFLIGHT_{name}": source.text().replace("\0", "")
        for name in ("TIMEOUT", "USE_EMULATION")
        if source.below(4) == 0
    }
    if {"-h", "--help"} & {word[:6] for word in words} or any(word.startswith("-h") for word in words):
        return
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        before = {name: os.environ.pop(name, None) for name in variables}
        os.environ.update(variables)
        try:
            parser = Parser("prog", "Does.")
            parser.option("--timeout", duration, default=None, metavar="S", help="time")
            parser.option("--only", names, default=(), metavar="NAME", help="names")
            parser.option(
                "--output", choice("text", "json"), short="-o", default="text", metavar="F", help="form"
            )
            parser.flag("--use-emulation", help="emulate")
            options = parser.parse_args(words)
        except SystemExit as leaving:
            assert leaving.code == USAGE
            assert stderr.getvalue().removesuffix("\n").isprintable()
        else:
            assert options.timeout is None or 0 < options.timeout <= 366 * 86400
            assert options.use_emulation in (True, False)
            assert options.output in ("text", "json")
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def measure_terminals(data: bytes) -> None:
    """Whatever $COLUMNS holds, a width comes out that text can be folded to."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    try:
        width = columns()
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    table(report(*EVERY_STATUS), width=width, colour=False)
    Parser("prog", "Does.").format_help()


def read_addresses(data: bytes) -> None:
    """An address is read, and written as it was meant; or refused with one line."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        read = address.parse(text)
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert 0 <= read.port <= 65535
    assert address.parse(str(read)) == read
    assert read.url.isprintable()


ENDPOINTS = Endpoints(
    registry=CollectorRegistry(), ready=lambda: None, page=lambda: "<p>", routes={"/report": lambda: None}
)


def read_requests(data: bytes) -> None:
    """Any head of a request is answered, with what it asks for or with why not."""
    answer = ENDPOINTS.answer(data)
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    fields = dict(field.split(b": ", 1) for field in head.split(b"\r\n")[1:])
    try:
        asked: Request | None = parse(data)
    except RequestError as error:
        asked = None
        assert error.status == status
        assert str(error).isprintable()
    if asked is not None:
        assert status in (200, 404, 503)
        wants_openmetrics(asked.accept)
    if asked is None or asked.method == "GET":
        assert int(fields[b"Content-Length"]) == len(body)
    else:
        assert not body


HEADS = (
    b"GET /metrics?a=b HTTP/1.1\r\nHost: h\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5,*/*",
    b"HEAD / HTTP/1.0\n",
    b"POST /report HTTP/1.1\r\nX: y",
)


def refused(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """Returns a parser of bytes that gives nothing where the parser of text raises ValueError."""

    def parsed(data: bytes) -> object:
        with contextlib.suppress(ValueError):
            return parse(data.decode("latin-1"))
        return None

    return parsed


TARGETS = (
    Target(
        "text",
        show_text,
        (),
        lambda data: plain(report(EVERY_STATUS[0]._replace(message=data.decode("latin-1")))),
    ),
    Target(
        "junit",
        show_junit,
        (),
        lambda data: junit(report(EVERY_STATUS[0]._replace(message=data.decode("latin-1")))),
    ),
    Target("json-yaml", show_for_programs, suite=50),
    Target("metrics", show_metrics, suite=25),
    Target("pages", show_pages, (), lambda data: html.element("p", data.decode("latin-1")), suite=50),
    Target("verdicts", show_verdicts),
    Target("logs", log_anything),
    Target("options", type_options, (), refused(duration), suite=50),
    Target("columns", measure_terminals, (b"80", b"-1", b"0"), suite=50),
    Target(
        "addresses",
        read_addresses,
        (b":9955", b"127.0.0.1:9955", b"[::1]:0", b"h:65535"),
        refused(address.parse),
    ),
    Target("http", read_requests, HEADS, ENDPOINTS.answer),
)
"""Everything that goes to a terminal, a browser, Prometheus or a CI system, and what comes from there."""
