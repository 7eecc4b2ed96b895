"""A machine made of namespaces: network, processes, mounts and host name of its own, on our kernel.

Its pid 1 is machine_init.py. When that ends, or the test session that started it, the kernel ends everything
in the machine and takes its mounts and network devices away (pid_namespaces(7), network_namespaces(7)).
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import offspring
import psutil
import waiting

INIT = Path(__file__).with_name("machine_init.py")
START_SECONDS = 60.0
END_SECONDS = 60.0


class MachineError(Exception):
    """A machine did not start, or a command in it failed; the message has what was said."""


class Machine:
    """A machine that can be switched on and off.

    Attributes:
        name: Its host name.
        directory: Where its logs are.
        pid: Its pid 1, as this machine sees it; 0 while it is off.
    """

    def __init__(self, name: str, directory: Path, plan: Mapping[str, Any], *, path: str) -> None:
        """Describes a machine; nothing is started yet.

        Args:
            name: Its host name.
            directory: Where its logs are kept, made when missing.
            plan: What machine_init.py is to mount.
            path: PATH of what runs in it.
        """
        self.name = name
        self.directory = directory
        self.pid = 0
        self._plan = {**plan, "hostname": name}
        self._environment = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
        self._holder: subprocess.Popen[bytes] | None = None
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def on(self) -> None:
        """Switches it on, and returns once its mounts are made.

        Raises:
            MachineError: It ended at once; the message has its log.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        log, said = self.directory / "init.log", self.directory / "init.said"
        said.unlink(missing_ok=True)
        namespaces = ["--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        # -B: nothing is written into the repository
        init: list[str | Path] = [sys.executable, "-I", "-S", "-B", INIT, json.dumps(self._plan), said]
        # a session of its own: Ctrl-C is for who looks at the tests, and ends the machine in due order
        self._holder = holder = offspring.start(
            ["setsid", "unshare", *namespaces, "--propagation", "private", *init], log=log
        )

        def ready() -> bool:
            if holder.poll() is not None:
                raise MachineError(f"machine {self.name} ended with {holder.poll()}:\n{offspring.tail(log)}")
            return said.exists()

        waiting.until(ready, f"machine {self.name} is ready", seconds=START_SECONDS)
        self.pid = psutil.Process(holder.pid).children()[0].pid

    def off(self) -> None:
        """Switches it off as a power cut does; returns once nothing of it runs."""
        if self._holder is None:
            return
        self._holder.kill()
        self._holder.wait()
        self._holder = None
        if self.pid:
            waiting.until(
                lambda: offspring.ended(self.pid), f"machine {self.name} is off", seconds=END_SECONDS
            )
        self.pid = 0
        for daemon in self._daemons.values():  # nsenter ends with what it started
            daemon.wait()
        self._daemons = {}

    def run(self, arguments: Sequence[str | Path], *, stdin: str | None = None) -> str:
        """Runs a command in the machine, and returns what it printed.

        Raises:
            MachineError: It failed, or the machine is off.
        """
        done = subprocess.run(
            self._inside(arguments),
            input=stdin,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise MachineError(
                f"{self.name}: {' '.join(map(str, arguments))}: {(done.stderr or done.stdout).strip()}"
            )
        return done.stdout

    def start(self, name: str, arguments: Sequence[str | Path]) -> None:
        """Starts a daemon in the machine, whose output is appended to `name`.log; it ends with the machine.

        Raises:
            MachineError: The machine is off.
        """
        self._daemons[name] = offspring.start(
            ["setsid", *self._inside(arguments)],
            log=self.directory / f"{name}.log",
            environment=self._environment,
        )

    def end(self, name: str) -> None:
        """Kills a daemon alone."""
        holder = self._daemons.pop(name)
        for process in psutil.Process(holder.pid).children():  # nsenter passes no signal on
            process.kill()
        holder.wait()

    def look_after(self, name: str) -> None:
        """Looks whether a daemon runs.

        Raises:
            MachineError: It has ended; the message has the tail of its log.
        """
        if (status := self._daemons[name].poll()) is not None:
            said = offspring.tail(self.directory / f"{name}.log")
            raise MachineError(f"{name} of {self.name} ended with {status}:\n{said}")

    def ip(self, *commands: str) -> None:
        """Runs commands of ip(8) in the machine's network, seen from outside: `netns PID` is a pid of ours.

        Raises:
            MachineError: One failed.
        """
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", "-batch", "-"],
            input="\n".join(commands),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise MachineError(f"{self.name}: ip: {done.stderr.strip()}")

    def _inside(self, arguments: Sequence[str | Path]) -> list[str]:
        if not self.pid:
            raise MachineError(f"machine {self.name} is off")
        namespaces = ["--mount", "--net", "--pid", "--uts", "--wd=/"]
        # nsenter waits for the command, which would outlive it; `off` ends both
        return ["nsenter", f"--target={self.pid}", *namespaces, "--", *map(str, arguments)]


def why_not() -> str:
    """What keeps this machine from having machines inside, with what would help; empty when nothing does."""
    if sys.platform != "linux":
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root, for namespaces, mounts and cgroups (sudo make e2e)"
    tried = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--mount-proc", "true"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return (
            f"namespaces are refused here ({done.stderr.strip()}): "
            "it needs CAP_SYS_ADMIN, in a container --privileged"
        )
    return ""
