"""The controller as a process of its own, with the rights that its ServiceAccount has in a cluster."""

import os
import subprocess
import sys
from pathlib import Path

import offspring
from controlplane import DEPLOY, LOOPBACK, ControlPlane

PROGRAM = Path(sys.executable).with_name("vm-preflight")


def start(
    plane: ControlPlane, *options: str, log: Path, port: int = 0, image: str = "vm-preflight:test"
) -> subprocess.Popen[bytes]:
    """Starts a controller, as `deploy/controller.yaml` does; `offspring.end` ends it.

    Args:
        plane: The control plane, with `deploy/` applied.
        options: Further options of the command.
        log: Where it logs to.
        port: Where it serves HTTP; 0 for any free port.
        image: What it is told to be the agents' image: there is no pod of its own to ask.
    """
    token = plane.token("vmruntime-controller-manager", "vm-system")
    command: list[str | Path] = [
        PROGRAM,
        "controller",
        f"--kubeconfig={plane.kubeconfig_for_token(token)}",
        f"--agent-manifest={DEPLOY / 'daemonset.yaml'}",
        f"--listen={LOOPBACK}:{port}",
        *options,
    ]
    return offspring.start(command, log=log, environment={**os.environ, "VM_PREFLIGHT_AGENT_IMAGE": image})
