"""The controller as a process of its own, with the rights that its ServiceAccount has in a cluster."""

import functools
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import offspring
import waiting
from controlplane import DEPLOY, LOOPBACK, ControlPlane, free_ports

PROGRAM = Path(sys.executable).with_name("vm-preflight")


def start(
    plane: ControlPlane,
    *options: str,
    log: Path,
    port: int = 0,
    image: str = "vm-preflight:test",
    server: str = "",
) -> subprocess.Popen[bytes]:
    """Starts a controller, as `deploy/controller.yaml` does; `offspring.end` ends it.

    Args:
        plane: The control plane, with `deploy/` applied.
        options: Further options of the command.
        log: Where it logs to.
        port: Where it serves HTTP; 0 for any free port.
        image: What it is told to be the agents' image: there is no pod of its own to ask.
        server: A proxy through which it speaks to the API server.
    """
    token = plane.token("vmruntime-controller-manager", "vm-system")
    command: list[str | Path] = [
        PROGRAM,
        "controller",
        f"--kubeconfig={plane.kubeconfig_for_token(token, server=server)}",
        f"--agent-manifest={DEPLOY / 'daemonset.yaml'}",
        f"--listen={LOOPBACK}:{port}",
        *options,
    ]
    return offspring.start(command, log=log, environment={**os.environ, "VM_PREFLIGHT_AGENT_IMAGE": image})


class Kept:
    """A controller that is started again whenever it ends, as a kubelet does with a container.

    Attributes:
        ends: Exit statuses, in order.
    """

    def __init__(self, plane: ControlPlane, *options: str, log: Path, server: str = "") -> None:
        self.ends: list[int] = []
        (self._port,) = free_ports(1)
        self._begin = functools.partial(start, plane, *options, log=log, port=self._port, server=server)
        self._over = threading.Event()
        self._process = self._begin()
        self._thread = threading.Thread(target=self._keep, name="kept", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Sends it SIGKILL, and waits until it is gone: the next one may have begun."""
        before = len(self.ends)
        self.signal(signal.SIGKILL)
        waiting.until(lambda: len(self.ends) > before, "the killed process to end")

    def get(self, path: str) -> tuple[int, str]:
        """Returns status and body of what it serves; 0 where it does not."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def leads(self) -> bool:
        """Whether it says that it leads."""
        return "vm_preflight_controller_leader 1.0" in self.get("/metrics")[1]

    @property
    def ready(self) -> bool:
        """Whether its caches are filled."""
        return self.get("/readyz")[0] == 200

    def _keep(self) -> None:
        # offspring ends a process with the thread that started it: this one stays until the end
        while not self._over.is_set():
            try:
                status = self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            self.ends.append(status)
            if not self._over.is_set():
                self._process = self._begin()
        self._process.send_signal(signal.SIGCONT)
        offspring.end(self._process)  # the last one, which may have begun since the end was told
