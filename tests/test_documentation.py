"""The documentation, held to the code: links, examples, and the words that a person looks up."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from agent import unanswered
from cli import reference
from controller import node_marks, ready, runs, status, switch, verdict
from preflight import config, discovery
from preflight.check import BLOCKING, Weight
from preflight.outcomes import RUNNER_OUTCOMES
from preflight.result import Outcome

ROOT = Path(__file__).parents[1]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")})
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BAR = re.compile(r"(?<!\\)\|")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def read(page: str) -> str:
    """A page of the documentation."""
    return (ROOT / "docs" / page).read_text()


def examples(page: str, language: str) -> list[str]:
    """The examples in one language that a page gives."""
    return re.findall(rf"^```{language}\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)


def anchor(heading: str) -> str:
    """What a heading is linked by, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if fragment:
            assert fragment in map(anchor, HEADING.findall(target.read_text())), link


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_row_of_a_table_has_its_cells(page: Path) -> None:
    """A bar that is not escaped begins another cell, within code too (GFM, 4.10)."""
    without_examples = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", without_examples, re.MULTILINE):
        head, *rows = table.splitlines()
        for row in rows:
            assert len(BAR.findall(row)) == len(BAR.findall(head)), row


def test_every_record_of_a_decision_is_in_the_index() -> None:
    records = {path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    assert set(LINK.findall(read("adr/README.md"))) == records


def test_the_page_of_the_checks_is_what_they_declare() -> None:
    ours = [check for check in discovery.discover() if check.function.__module__.startswith("checks.")]
    assert read("checks.md") == reference.page(ours, config.Config()) + "\n", "write it anew: make docs"


def test_the_settings_on_the_page_of_the_checks_are_the_defaults() -> None:
    (text,) = examples("checks.md", "toml")
    checks = discovery.discover()
    written, default = config.parse(text.encode(), checks, "checks.md"), config.Config()
    for check in checks:
        assert written.weight(check) is default.weight(check)
        assert written.seconds(check) == default.seconds(check)
        assert written.settings[check.name] == default.thresholds(check)


def test_the_configuration_on_its_page_is_one() -> None:
    (text,) = examples("configuration.md", "toml")
    settings = config.parse(text.encode(), discovery.discover(), "preflight.toml")
    assert (settings.ignore, settings.timeout) == (("VhostNet",), 30)
    assert settings.settings["Memory"] == {"minimum_bytes": 8 << 30}
    assert settings.settings["Disk"] == {"path": "/var/lib/kubelet", "minimum_free_bytes": 50 << 30}
    assert settings.weights["VhostNet"] is BLOCKING


@pytest.mark.parametrize(
    "text",
    [
        "[checks.Memory]\nminimum = 1",
        "[checks.Memory]\nminimum_bytes = 1.5",
        "[checks.Memory]\nminimum_bytes = -1",
        '[checks.Tun]\nweight = "heavy"',
        "[run]\ntimeout = 0",
        "weight = heavy",
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_the_page(text: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse(text.encode(), discovery.discover(), "preflight.toml")
    (shown,) = examples("configuration.md", "text")
    assert f"{caught.value}\n" in shown


def test_the_configuration_page_names_every_key() -> None:
    page = read("configuration.md")
    assert {"run.only", "run.ignore", "run.timeout"} == set(re.findall(r"`(run\.\w+)` \|", page))
    assert all(f"`{weight}`" in page for weight in Weight)


@pytest.mark.parametrize(
    "words",
    [
        {status.READY, status.DISABLE_BLOCKED, status.AGENTS_ROLLED_OUT, status.ANNOTATIONS_VALID},
        {runs.COMPLETE, runs.CANCELLED},
        set(ready.Reason),
        set(switch.Obstacle),
        set(verdict.Reason),
        set(node_marks.Reason),
        {one.reason for one in vars(unanswered).values() if isinstance(one, Outcome)},
        {one.reason for one in RUNNER_OUTCOMES},
    ],
    ids=["VMRuntime", "check", "Ready", "DisableBlocked", "Complete", "VMPreflightPassed", "Probe", "runner"],
)
def test_the_operations_page_explains_every_condition_and_reason(words: set[str]) -> None:
    assert {str(word) for word in words} - set(re.findall(r"`([A-Z]\w+)`", read("operations.md"))) == set()


def test_the_operations_pages_alerts_are_rules_that_prometheus_takes(promtool: Path, tmp_path: Path) -> None:
    alerts = [one for one in examples("operations.md", "yaml") if one.startswith("- alert:")]
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "page", "rules": yaml.safe_load("".join(alerts))}]}))
    done = subprocess.run([promtool, "check", "rules", rules], capture_output=True, text=True, check=False)
    assert (done.returncode, f"SUCCESS: {len(alerts)} rules found" in done.stdout) == (0, True), done.stderr
