"""The page for people."""

from html.parser import HTMLParser

import reports

from agent import page
from agent.decide import Trigger
from agent.page import View

EVIL = "<img src=x onerror=alert(1)>"
RESULTS = reports.EVERY_STATUS


class Reader(HTMLParser):
    """Collects text and tags, and checks that what is opened is closed."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(word.strip() for word in self.words if word.strip())


def test_before_the_first_run() -> None:
    text = Reader(page.render(View("worker-0", "1.0", problem="socket /p: Connection refused"))).text
    assert "worker-0 not known yet" in text
    assert "Not ready: socket /p: Connection refused" in text
    assert "No run has finished yet." in text


def test_shows_what_failed_first_why_and_what_to_do() -> None:
    view = View(
        "worker-0",
        "1.0",
        report=reports.report(*RESULTS),
        trigger=Trigger.REQUESTED,
        run_id="r-1",
        links=("/report",),
    )
    text = Reader(page.render(view)).text
    assert "worker-0 did not pass mode: None" in text
    assert "because the controller asked for it" in text
    assert "run r-1" in text
    for result in RESULTS:
        assert f"{result.check_name} {result.status}" in text
        assert result.reason in text
        assert result.message in text
    assert "mknod /dev/kvm c 10 232" in text
    assert text.index("Tun Unknown, blocks") < text.index("CPU Pass")
    assert text.endswith("/metrics /healthz /readyz /report")


def test_skipped_node_says_so() -> None:
    text = Reader(page.render(View("worker-0", "1.0", skipped=True, report=reports.report(passed=True)))).text
    assert "worker-0 skipped" in text
    assert "until it is taken off" in text


def test_everything_that_others_wrote_is_escaped() -> None:
    result = RESULTS[0]._replace(check_name=EVIL, reason=EVIL, message=EVIL, hint=EVIL)
    report = reports.report(result)._replace(kernel_version=EVIL, boot_id=EVIL, agent_version=EVIL)
    document = page.render(View(EVIL, EVIL, problem=EVIL, report=report, run_id=EVIL))
    reader = Reader(document)
    assert "img" not in reader.tags
    assert "script" not in reader.tags
    assert reader.text.count(EVIL) == 12


def test_every_trigger_and_status_has_its_words() -> None:
    for trigger in Trigger:
        assert page.WHY[trigger] in page.render(View("n", "1", report=reports.report(), trigger=trigger))
    for result in RESULTS:
        assert f"badge {page.TONES[result.status]}" in page.render(
            View("n", "1", report=reports.report(result))
        )
