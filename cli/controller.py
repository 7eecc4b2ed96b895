"""``vm-preflight controller``: the daemon that decides for the cluster."""

import os
from collections.abc import Sequence

from cli.daemons import log_options
from cli.options import Parser, UsageError
from cluster.resources import NAMESPACE
from daemon.address import parse


def main(program: str, words: Sequence[str]) -> int:
    """Runs the controller until SIGTERM.

    Returns:
        0 when it was stopped, 1 when it lost its lease.

    Raises:
        UsageError: Credentials or an address that cannot be used.
    """
    parser = Parser(
        program, "Decides for the cluster: when checks run, what the verdict is, where agents run."
    )
    parser.option("--kubeconfig", str, default="", metavar="FILE", help="credentials; in a pod, its own")
    parser.option("--namespace", str, default=NAMESPACE, metavar="NAME", help="where checks and agents live")
    parser.option(
        "--agent-manifest",
        str,
        default="deploy/daemonset.yaml",
        metavar="FILE",
        help="the agents' DaemonSet",
    )
    parser.flag("--no-leader-election", help="do not wait for the Lease: only where one controller runs")
    parser.option(
        "--listen",
        parse,
        default=parse(":9956"),
        metavar="ADDR",
        help="for metrics and the page (default :9956)",
    )
    log_options(parser)
    options = parser.parse_args(words)

    from cluster import credentials, kubeconfig
    from cluster.errors import CredentialsError
    from cluster.transport import Client
    from controller import main as controller
    from daemon import lifecycle, logs

    logs.configure(options.log_format, options.log_level)
    try:
        given = kubeconfig.load(options.kubeconfig) if options.kubeconfig else credentials.in_cluster()
        with lifecycle.stopping() as stop:
            stopped = controller.run(
                Client(given),
                namespace=options.namespace,
                agent_manifest=options.agent_manifest,
                agent_image=os.environ.get("VM_PREFLIGHT_AGENT_IMAGE"),
                listen=options.listen,
                leader_election=not options.no_leader_election,
                stop=stop,
            )
    except (CredentialsError, OSError) as error:
        raise UsageError(str(error)) from error
    return 0 if stopped else 1
