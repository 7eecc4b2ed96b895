"""``kubectl vm-preflight``: the cluster's nodes, seen from where kubectl is.

kubectl finds ``kubectl-vm_preflight`` on the PATH (kubernetes.io: Extend kubectl with plugins) and, from 1.26
on, ``kubectl_complete-vm_preflight`` for completion.
"""

import sys

from cli import main
from cli.main import Program

KUBECTL = Program(
    "kubectl vm-preflight",
    "Tells which nodes can really run virtual machines, and why the others cannot.",
    {
        "nodes": ("cli.nodes", "show how every node stands; need not be named"),
        "explain": ("cli.explain", "show a node's report: what was found there, and what to do"),
        "run": ("cli.vmruntimepfc:check", "check every node now and wait for the verdict"),
        "enable": ("cli.vmruntime:enable", "let VMs be created once the nodes' preflight check has passed"),
        "disable": ("cli.vmruntime:disable", "switch the VM runtime off"),
        "version": ("cli.version", "print the version"),
    },
    default="nodes",
)


def entry() -> None:
    """Console script ``kubectl-vm_preflight``."""
    main.entry(KUBECTL)


def complete() -> None:
    """Console script ``kubectl_complete-vm_preflight``: tells how the plugin's last word can go on."""
    sys.argv.insert(1, main.COMPLETE)
    main.entry(KUBECTL)
