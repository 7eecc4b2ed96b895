"""``vm-preflight agent``: the daemon that publishes what a node's probe found."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from cli.daemons import log_options
from cli.options import Parser, UsageError, duration
from daemon.address import parse

IN_CLUSTER = parse(":9955")
ALONE = parse("127.0.0.1:9955")


def main(program: str, words: Sequence[str]) -> int:
    """Serves a node of a cluster, or with ``--standalone`` a host, until SIGTERM.

    Raises:
        UsageError: Credentials, a node or an address that cannot be used.
    """
    parser = Parser(program, "Publishes what the node's probe found. Needs no privileges.")
    parser.flag("--standalone", help="without a cluster: check this host, serve metrics and /report")
    parser.option(
        "--node", str, default=os.environ.get("NODE_NAME", ""), metavar="NAME", help="this node's name"
    )
    parser.option("--kubeconfig", str, default="", metavar="FILE", help="credentials; in a pod, its own")
    parser.option(
        "--probe",
        str,
        default=None,
        metavar="PATH|spawn",
        help="the probe's socket, or run one as a child; standalone it is run",
    )
    parser.option(
        "--listen",
        parse,
        default=None,
        metavar="ADDR",
        help="for metrics and the page (default :9955, standalone 127.0.0.1:9955)",
    )
    parser.option(
        "--interval",
        duration,
        default=None,
        metavar="TIME",
        help="between runs nobody asked for (default 10m, standalone 5m)",
    )
    log_options(parser)
    options = parser.parse_args(words)

    from daemon import logs

    logs.configure(options.log_format, options.log_level)
    spawn = [sys.executable, "-m", "cli.main", "probe", f"--log-level={options.log_level}"]
    if options.log_format:
        spawn.append(f"--log-format={options.log_format}")
    try:
        return alone(options, spawn) if options.standalone else in_cluster(options, spawn)
    except OSError as error:
        raise UsageError(str(error)) from error


def alone(options: Namespace, spawn: Sequence[str]) -> int:
    """Serves a host without a cluster."""
    from agent import agent

    return agent.run_standalone(
        probe=options.probe or "spawn",
        spawn=spawn,
        listen=options.listen or ALONE,
        interval=options.interval or agent.STANDALONE_INTERVAL,
        node=options.node,
    )


def in_cluster(options: Namespace, spawn: Sequence[str]) -> int:
    """Serves a node of a cluster.

    Raises:
        UsageError: No node is named, or the credentials cannot be used.
    """
    from agent import agent
    from agent.probe import DEFAULT_SOCKET
    from cluster import credentials
    from cluster.errors import CredentialsError
    from cluster.transport import Client

    if not options.node:
        raise UsageError("name this node with --node or $NODE_NAME, or say --standalone")
    try:
        if options.kubeconfig:
            from cluster import kubeconfig

            given = kubeconfig.load(options.kubeconfig)
        else:
            given = credentials.in_cluster()
        client = Client(given)
    except CredentialsError as error:
        raise UsageError(str(error)) from error
    return agent.run_in_cluster(
        client,
        node=options.node,
        probe=options.probe or DEFAULT_SOCKET,
        spawn=spawn,
        listen=options.listen or IN_CLUSTER,
        interval=options.interval or agent.CLUSTER_INTERVAL,
    )
