"""The entry point: finds the command, imports its module and no other, and calls it."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from cli import output
from cli.options import UsageError, complain, describe

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

DAEMONS = ("probe", "agent", "controller")


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
    program = f"{PROGRAM} {words[0]}" if words and words[0] in COMMANDS else PROGRAM
    try:
        return dispatch(program, words)
    except UsageError as error:
        return complain(program, error)
    except BrokenPipeError:
        return 1
    except OSError as error:
        complain(program, describe(error))
        return 1
    except KeyboardInterrupt:
        return 130


def dispatch(program: str, words: Sequence[str]) -> int:
    """Finds the command, imports its module, and calls it as ``program``.

    Raises:
        UsageError: There is no such command, or it is used wrongly.
    """
    if not words:
        raise UsageError(f"name a command: {', '.join(COMMANDS)} (see '{PROGRAM} --help')")
    name = "version" if words[0] == "--version" else words[0]
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r} (see '{PROGRAM} --help')")
    command = cast(Command, import_module(COMMANDS[name][0]))
    return command.main(program, words[1:])


def entry() -> None:
    """Console script: runs the command of ``sys.argv`` and exits with its status.

    The interpreter is not taken down piece by piece: that is a sixth of a short command's time
    (docs/adr/0006-a-cold-run.md).
    """
    words = sys.argv[1:]
    if words and words[0] in DAEMONS:
        keep_signals(words[0])
    output.prepare()
    try:
        status = main(words)
    except SystemExit as leaving:  # argparse's way to leave
        status = leaving.code if isinstance(leaving.code, int) else 1
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        pass
    except OSError as error:
        complain(PROGRAM, f"standard output: {error.strerror}")
        status = status or 1
    if "cluster.kubeconfig" in sys.modules:
        sys.exit(
            status
        )  # at its end the kubernetes package removes the files that a kubeconfig's keys are in
    os._exit(status)


def keep_signals(daemon: str) -> None:
    """Has a daemon obey signals from the start on, while its modules are still imported.

    SIGTERM ends it with status 0. SIGHUP asks an agent for a run, and the first one is still to come.
    """
    import signal

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if daemon == "agent":
        signal.signal(signal.SIGHUP, lambda *_: None)  # not SIG_IGN, which a spawned probe would inherit


if __name__ == "__main__":
    entry()
