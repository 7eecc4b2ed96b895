"""The documentation, held to the code: links, examples, and the words that a person looks up."""

import re
from pathlib import Path

import pytest

from agent import unanswered
from controller import ready, runs, status, switch, verdict
from preflight import config, discovery
from preflight.check import ADVISORY, Run
from preflight.host import Host
from preflight.outcomes import RUNNER_OUTCOMES
from preflight.result import Outcome

ROOT = Path(__file__).parents[1]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")})
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
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


def test_every_record_of_a_decision_is_in_the_index() -> None:
    records = {path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    assert set(LINK.findall(read("adr/README.md"))) == records


def test_the_check_of_the_tutorial_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, test = examples("writing-a-check.md", "python")
    (point,) = re.findall(r'^HardwareRandom = "(.*)"$', read("writing-a-check.md"), re.MULTILINE)
    metadata = tmp_path / "rng_check-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rng-check\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[vm_preflight.checks]\nHardwareRandom = {point}\n")
    (tmp_path / "rng_check.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (check,) = discovery.discover([str(tmp_path)])
    assert (check.name, check.weight) == ("HardwareRandom", ADVISORY)
    available, missing, _ = check.outcomes
    exec(test, {"hardware_random": check, "Host": Host, "Run": Run, "MISSING": missing})
    current = tmp_path / "tests/hosts/mine/sys/class/misc/hw_random/rng_current"
    current.parent.mkdir(parents=True)
    current.write_text("virtio_rng.0\n")
    assert check(Host("tests/hosts/mine"), Run()).outcome is available


def test_the_configuration_on_the_operations_page_is_one() -> None:
    (text,) = examples("operations.md", "toml")
    settings = config.parse(text.encode(), discovery.discover(), "operations.md")
    assert settings.ignore == ("VhostNet",)
    assert settings.settings["Memory"]["minimum_bytes"] == 4 << 30


@pytest.mark.parametrize(
    "words",
    [
        {status.READY, status.DISABLE_BLOCKED, status.AGENTS_ROLLED_OUT, status.ANNOTATIONS_VALID},
        {runs.COMPLETE, runs.CANCELLED},
        set(ready.Reason),
        set(switch.Obstacle),
        set(verdict.Reason),
        {one.reason for one in vars(unanswered).values() if isinstance(one, Outcome)},
        {one.reason for one in RUNNER_OUTCOMES},
    ],
    ids=["VMRuntime", "check", "Ready", "DisableBlocked", "Complete", "Probe", "runner"],
)
def test_the_operations_page_explains_every_condition_and_reason(words: set[str]) -> None:
    assert {str(word) for word in words} - set(re.findall(r"`([A-Z]\w+)`", read("operations.md"))) == set()
