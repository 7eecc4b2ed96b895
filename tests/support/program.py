"""The program as a person starts it: words in; exit status, standard output and standard error out."""

import os
import subprocess
import sys

SECONDS = 60


def command(*words: str) -> list[str]:
    """The program's command line, of the code under test."""
    return [sys.executable, "-m", "cli.main", *words]


def vm_preflight(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the program without a terminal, with none of its variables set but those given."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VM_PREFLIGHT_")}
    return subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        env={**environment, **variables},
    )
