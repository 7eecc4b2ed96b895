"""What a person reads and types first: links in the documentation, and `make run`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")})
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_every_record_of_a_decision_is_in_the_index() -> None:
    records = {path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")}
    assert set(LINK.findall((ROOT / "docs" / "adr" / "README.md").read_text())) == records


def test_make_run_prints_the_report_and_how_to_go_on() -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    installed = f"{sys.prefix}/.installed"
    done = subprocess.run(
        ["make", "--no-print-directory", f"--old-file={installed}", "run", f"VENV={sys.prefix}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    verdict = done.stdout.splitlines()[-1]
    assert verdict.startswith("node ")
    assert (" passed" in verdict) is (done.returncode == 0), done.stderr
    assert "How to go on:" in done.stderr
