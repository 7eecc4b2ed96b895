"""The program as a person starts it: words in; exit status, standard output and standard error out."""

import os
import subprocess
import sys

SECONDS = 100
"""Longer than what commands are told to wait, so that they say themselves what did not come."""


def command(*words: str) -> list[str]:
    """The program's command line, of the code under test."""
    return [sys.executable, "-m", "cli.main", *words]


def plugin(*words: str) -> list[str]:
    """The command line of kubectl's plugin, of the code under test."""
    return [sys.executable, "-c", "from cli.kubectl import entry; entry()", *words]


def vm_preflight(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the program without a terminal, with none of its variables set but those given."""
    return run(command(*words), **variables)


def run(words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command line without a terminal, with none of our variables set but those given."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VM_PREFLIGHT_")}
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        env={**environment, **variables},
    )
