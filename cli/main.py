"""The entry points: find the command, import its module and no other, and call it."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from cli import output
from cli.options import NotDoneError, UsageError, complain, describe


class Program(NamedTuple):
    """A program of ours.

    Attributes:
        name: What a person types.
        about: What it does, one line.
        commands: Its commands: module, or ``module:function``, and what it does, by name.
        default: The command where none is named; empty where one must be.
    """

    name: str
    about: str
    commands: Mapping[str, tuple[str, str]]
    default: str = ""


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
    "completion": ("cli.completion", "print what makes a shell complete these words"),
}

VALUED = ("--kubeconfig", "--context", "-o", "--output", "-l", "--selector", "--timeout")
"""Options that may stand before a command, and whose value is the next word."""

COMPLETE = "__complete"
"""What a shell asks for completions with; the word is that of cobra, which kubectl is made with."""

DAEMONS = ("probe", "agent", "controller")

VM_PREFLIGHT = Program(
    "vm-preflight",
    "Tells whether this node can really run a virtual machine, and if not, why and what to do.",
    COMMANDS,
)


def usage(program: Program) -> str:
    """Returns the help text of a program: its commands, a line each."""
    command = "[COMMAND]" if program.default else "COMMAND"
    lines = [f"usage: {program.name} {command} [OPTION ...]", "", program.about, ""]
    lines += [f"  {name:<12}{summary}" for name, (_, summary) in program.commands.items()]
    lines += ["", f"'{program.name} COMMAND --help' explains a command."]
    return "\n".join(lines)


def main(words: Sequence[str], program: Program = VM_PREFLIGHT) -> int:
    """Runs the command that ``words`` name.

    Returns:
        The exit status: 0 done or passed, 1 not passed or not done, 2 wrong usage or configuration.
    """
    name, rest = find(words, program)
    title = f"{program.name} {name}" if name in program.commands else program.name
    try:
        return dispatch(program, name, rest)
    except UsageError as error:
        return complain(title, error)
    except NotDoneError as error:
        complain(title, error)
        return 1
    except BrokenPipeError:
        return 1
    except OSError as error:
        complain(title, describe(error))
        return 1
    except KeyboardInterrupt:
        return 130


def find(words: Sequence[str], program: Program) -> tuple[str, Sequence[str]]:
    """Returns the command's name, as it was given, and the words without it.

    Where a command need not be named, options may stand before it, as before kubectl's own.
    """
    if not program.default:
        return (words[0], words[1:]) if words else ("", ())
    after_option = ("", *words)
    for at, word in enumerate(words):
        if not word.startswith("-") and after_option[at] not in VALUED:
            return word, [*words[:at], *words[at + 1 :]]
    asked = next((word for word in words if word in ("-h", "--help", "--version")), program.default)
    return asked, words


def dispatch(program: Program, name: str, words: Sequence[str]) -> int:
    """Imports the module of the command ``name``, and calls it.

    Raises:
        UsageError: There is no such command, or it is used wrongly.
    """
    see = f"see '{program.name} --help'"
    if not name:
        raise UsageError(f"name a command: {', '.join(program.commands)} ({see})")
    name = "version" if name == "--version" else name
    if name in ("-h", "--help", "help"):
        print(usage(program))
        return 0
    if name == COMPLETE:
        from cli.completing import answer

        return answer(program, words)
    return command(program, name)(f"{program.name} {name}", words)


def command(program: Program, name: str) -> Callable[[str, Sequence[str]], int]:
    """Returns the function of a command, which takes what it is called and the words behind it.

    Raises:
        UsageError: There is no such command.
    """
    if name not in program.commands:
        raise UsageError(f"unknown command {name!r} (see '{program.name} --help')")
    module, _, function = program.commands[name][0].partition(":")
    found: Callable[[str, Sequence[str]], int] = getattr(import_module(module), function or "main")
    return found


def entry(program: Program = VM_PREFLIGHT) -> None:
    """Console script: runs the command of ``sys.argv`` and exits with its status.

    The interpreter is not taken down piece by piece: that is a sixth of a short command's time
    (docs/adr/0006-a-cold-run.md).
    """
    words = sys.argv[1:]
    if words and words[0] in DAEMONS and words[0] in program.commands:
        keep_signals(words[0])
    output.prepare()
    try:
        status = main(words, program)
    except SystemExit as leaving:  # argparse's way to leave
        status = leaving.code if isinstance(leaving.code, int) else 1
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        pass
    except OSError as error:
        complain(program.name, f"standard output: {error.strerror}")
        status = status or 1
    if "cluster.kubeconfig" in sys.modules:
        sys.exit(status)  # at its end the kubernetes package removes the files with a kubeconfig's keys
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
