"""``vm-preflight run``: checks this machine now."""

import gc
import json
import os
import sys
from collections.abc import Sequence

from cli import output
from cli.interrupts import hangup_and_termination_interrupt
from cli.options import Parser, UsageError, choice, columns, duration, host_root, names
from preflight.host import Host
from preflight.report import Report

FORMATS = ("text", "json", "yaml", "junit")


def main(program: str, words: Sequence[str]) -> int:
    """Runs the checks and prints the report.

    Returns:
        0 if the node passed, 1 if it did not.

    Raises:
        UsageError: A configuration or a name of a check that there is none of; standard output takes nothing.
    """
    gc.disable()  # what is imported stays to the end
    parser = Parser(program, "Checks whether this machine can run virtual machines, and says why not.")
    parser.option(
        "--output",
        choice(*FORMATS),
        short="-o",
        default="text",
        metavar="|".join(FORMATS),
        help="form of the report",
    )
    parser.flag("--use-emulation", help="VMs may run under software emulation")
    parser.option("--only", names, default=(), metavar="NAME,…", help="run these checks alone")
    parser.option("--ignore", names, default=(), metavar="NAME,…", help="show these checks as Warn at most")
    parser.option("--config", str, default="", metavar="FILE", help="configuration (TOML)")
    parser.option("--plugin-dir", str, default="", metavar="DIR", help="directory of executable checks")
    parser.option("--host-root", str, default="/", metavar="DIR", help="the machine's root directory")
    parser.option("--timeout", duration, default=None, metavar="SECONDS", help="longest time for all checks")
    options = parser.parse_args(words)

    from preflight.config import ConfigError, load
    from preflight.discovery import discover
    from preflight.runner import Runner
    from preflight.version import version

    try:
        checks = discover(plugin_dir=options.plugin_dir or None)
        config = load(options.config or None, checks)
    except ConfigError as error:
        raise UsageError(str(error)) from error
    known = {check.name for check in checks}
    for option, given in (("--only", options.only), ("--ignore", options.ignore)):
        for name in given:
            if name not in known:
                raise UsageError(f"{option} {name}: no such check (there are {', '.join(sorted(known))})")
    host = Host(host_root(options.host_root))
    runner = Runner(checks, host, config, node=node_name(host), agent_version=version())
    gc.freeze()
    gc.enable()
    with hangup_and_termination_interrupt():  # a check that hangs must not stay behind
        report = runner.run(
            use_emulation=options.use_emulation,
            ignored=options.ignore,
            only=options.only,
            timeout=options.timeout,
        )
    if not report.architecture:  # a captured tree of a kernel before 6.1
        from linux import lookup

        report = report._replace(architecture=lookup.architecture(host, lookup.processors(host)))
    write(render(report, options.output), form=options.output)
    return 0 if report.passed else 1


def write(text: str, *, form: str) -> None:
    """Writes a report to standard output; whoever has seen enough of it changes nothing of the verdict.

    Raises:
        UsageError: Standard output takes nothing.
    """
    if form != "text":
        output.as_utf8()
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        return
    except OSError as error:
        raise UsageError(f"standard output: {error.strerror}") from error


def node_name(host: Host) -> str:
    """Returns the name that the machine gives itself (``/proc/sys/kernel/hostname``, proc(5))."""
    if host.root != "/":
        for path in ("/proc/sys/kernel/hostname", "/etc/hostname"):
            try:
                name = host.read_text(path, limit=256).strip()
            except OSError:
                continue
            if name.isprintable() and name:
                return name
    return os.uname().nodename


def render(report: Report, form: str) -> str:
    """Returns a report in one of the forms that ``-o`` takes."""
    if form == "json":
        return json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
    if form == "yaml":
        import yaml

        return str(yaml.safe_dump(report.to_dict(), sort_keys=False, allow_unicode=True, width=1000)).rstrip()
    if form == "junit":
        from cli.junit import junit

        return junit(report)
    from cli.text import plain, table

    if not sys.stdout.isatty():
        return plain(report)
    return table(report, width=columns(), colour=not os.environ.get("NO_COLOR"))
