"""The entry point: finds the command, imports its module and no other, and calls it."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from cli.options import UsageError, complain

PROGRAM = "vm-preflight"

COMMANDS = {
    "run": ("cli.run", "check this machine now and print a report"),
    "checks": ("cli.checks", "list the checks, or explain one"),
    "version": ("cli.version", "print the version"),
    "enable": (
        "cli.vmruntime",
        "enable vmruntime: let VMs be created once the nodes' preflight check has passed",
    ),
    "disable": ("cli.vmruntime", "disable vmruntime: switch the VM runtime off"),
    "check": (
        "cli.vmruntimepfc",
        "check vmruntimepfc: check every node of a cluster now and wait for the verdict",
    ),
    "probe": ("cli.probe", "the daemon that runs the checks (privileged, no credentials)"),
    "agent": ("cli.agent", "the daemon that publishes what a node's probe found"),
    "controller": ("cli.controller", "the daemon that decides for the cluster"),
}


class Command(Protocol):
    """A command's module."""

    def main(self, program: str, words: Sequence[str]) -> int:
        """Runs the command ``program`` with the words behind it and returns the exit status."""


def usage() -> str:
    """Returns the help text of the program: its commands, a line each."""
    lines = [f"usage: {PROGRAM} COMMAND [OPTION ...]", ""]
    lines += ["Tells whether this node can really run a virtual machine, and if not, why and what to do.", ""]
    lines += [f"  {name:<12}{summary}" for name, (_, summary) in COMMANDS.items()]
    lines += ["", f"'{PROGRAM} COMMAND --help' explains a command."]
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    """Runs the command that ``words`` name.

    Returns:
        The exit status: 0 done or passed, 1 not passed or not done, 2 wrong usage or configuration.
    """
    if not words:
        print(usage(), file=sys.stderr)
        return complain(PROGRAM, "a command is missing")
    name = words[0]
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name == "--version":
        name = "version"
    if name not in COMMANDS:
        return complain(PROGRAM, f"unknown command {name!r} (see '{PROGRAM} --help')")
    command = cast(Command, import_module(COMMANDS[name][0]))
    program = f"{PROGRAM} {name}"
    try:
        return command.main(program, words[1:])
    except UsageError as error:
        return complain(program, error)
    except BrokenPipeError:
        return 1
    except OSError as error:
        complain(program, error)
        return 1
    except KeyboardInterrupt:
        return 130


def entry() -> None:
    """Console script: runs the command of ``sys.argv`` and exits with its status.

    The interpreter is not taken down piece by piece: that is a sixth of a short command's time
    (docs/adr/0006-a-cold-run.md).
    """
    try:
        status = main(sys.argv[1:])
    except SystemExit as leaving:  # argparse's way to leave
        status = leaving.code if isinstance(leaving.code, int) else 1
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            complain(PROGRAM, f"standard output: {error.strerror}")
        status = status or 1
    os._exit(status)


if __name__ == "__main__":
    entry()
