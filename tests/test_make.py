"""`make run`, the first thing that a person types."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_make_run_prints_the_report_and_how_to_go_on() -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    installed = f"{sys.prefix}/.installed"  # this environment, as it is
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
