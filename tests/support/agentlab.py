"""Probes and agents as processes of their own, with check plugins that go wrong in every way."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families
from waiting import until

ROOT = Path(__file__).parents[2]

PLUGIN = '''
"""Checks that go wrong, and one that does not."""

import ctypes
import os
import sys
import time

from preflight.check import BLOCKING, check
from preflight.result import passing

GOOD = passing("Good")
HERE = os.path.dirname(__file__)


def declare(name, timeout=30.0, after=()):
    fixed = {"question": "?", "weight": BLOCKING, "outcomes": (GOOD,), "reads": (), "source": "made up"}
    return check(name, **fixed, timeout=timeout, after=after)


@declare("Fine")
def fine(host, run):
    return GOOD("fine")


@declare("Sleeper", timeout=0.5, after=("Fine",))
def sleeper(host, run):
    time.sleep(600)


@declare("Crasher", after=("Sleeper",))
def crasher(host, run):
    ctypes.string_at(0)


@declare("Printer", after=("Crasher",))
def printer(host, run):
    for _ in range(1024):
        sys.stdout.write("x" * (1 << 20))
    return GOOD("printed")


@declare("Waiter", timeout=60.0)
def waiter(host, run):
    with open(os.path.join(HERE, "waiting"), "w") as file:
        file.write(str(os.getpid()))
    while not os.path.exists(os.path.join(HERE, "go")):
        time.sleep(0.01)
    return GOOD("waited")
'''

CHECKS = ("Fine", "Sleeper", "Crasher", "Printer", "Waiter")

# Daemons have as long to end as a busy machine takes: one that hangs then is not cut off, and fails its test.
PROBE = """
import json, sys
from agent import probe
given = json.loads(sys.argv[1])
probe.GRACE = given.pop("grace", 120.0)
if "--socket" in sys.argv:
    given["socket"] = sys.argv[sys.argv.index("--socket") + 1]
sys.exit(probe.run(**given))
"""

AGENT = """
import json, sys
from agent import agent, link
from daemon import address, lifecycle, logs
lifecycle.GRACE = 120.0
logs.configure("json", "debug")
given = json.loads(sys.argv[1])
given["listen"] = address.parse("127.0.0.1:0")
link.STABLE = given.pop("stable", link.STABLE)
kubeconfig = given.pop("kubeconfig", None)
if kubeconfig is None:
    sys.exit(agent.run_standalone(**given))
from cluster.informer import Informer
from cluster.kubeconfig import load
from cluster.transport import Client
silence = given.pop("silence", None)
if silence is not None:
    Informer.__init__.__kwdefaults__["read_timeout"] = silence
sys.exit(agent.run_in_cluster(Client(load(kubeconfig)), **given))
"""


class Lab:
    """A directory with the plugin and whatever else a test needs, and the processes that it started."""

    def __init__(self, directory: Path) -> None:
        """Installs the plugin in ``directory``."""
        self.directory = directory
        self.plugin = directory / "plugin"
        self.socket = str(directory / "probe.sock")
        self._stack = contextlib.ExitStack()
        metadata = self.plugin / "faulty_checks-1.0.dist-info"
        metadata.mkdir(parents=True)
        (self.plugin / "faulty_checks.py").write_text(PLUGIN)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-checks\nVersion: 1.0\n")
        points = "".join(f"{name} = faulty_checks:{name.lower()}\n" for name in CHECKS)
        (metadata / "entry_points.txt").write_text(f"[vm_preflight.checks]\n{points}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        for log in sorted(self.directory.glob("*.log")):
            # pytest shows it where the test failed
            print(f"--- {log.name}\n{log.read_text()}")

    def config(self, *only: str) -> str:
        """Writes a configuration with these checks alone and returns its path."""
        path = self.directory / f"{'-'.join(only)}.toml"
        path.write_text(f"[run]\nonly = {json.dumps(list(only))}\n")
        return str(path)

    def probe(self, *only: str, host_root: str = "/") -> "Process":
        """Starts a probe that listens on the lab's socket, and waits until it does."""
        given = {"socket": self.socket, "host_root": host_root, "config_path": self.config(*only)}
        process = self.start("probe", PROBE, given)
        process.wait_for_log("serving")
        return process

    def agent(self, **given: object) -> "AgentProcess":
        """Starts an agent, in a cluster where ``kubeconfig`` is given, and waits until it serves HTTP.

        Args:
            given: What `agent.agent` takes; ``stable`` in place of `agent.link.STABLE` and ``silence`` in
                place of `cluster.informer.READ_TIMEOUT`, in seconds.
        """
        process = self.start("agent", AGENT, {"probe": self.socket, "spawn": [], **given}, AgentProcess)
        assert isinstance(process, AgentProcess)
        process.port = int(str(process.wait_for_log("serving")["address"]).rpartition(":")[2])
        return process

    def spawn(self, *only: str, host_root: str = "/") -> list[str]:
        """Returns the command of a probe that runs as a child."""
        given = {"host_root": host_root, "config_path": self.config(*only)}
        return [sys.executable, "-c", PROBE, json.dumps(given)]

    def start(self, name: str, script: str, given: object, kind: "type[Process] | None" = None) -> "Process":
        """Starts a program of Python with the plugin and this tree on its path; it logs to ``name``.log."""
        log = self.directory / f"{name}.log"
        with log.open("a") as file:
            position = file.tell()
            popen = subprocess.Popen(
                [sys.executable, "-c", script, json.dumps(given)],
                env={**os.environ, "PYTHONPATH": f"{self.plugin}{os.pathsep}{ROOT}"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
        process = (kind or Process)(popen, log, position)
        self._stack.callback(process.kill)
        return process


class Process:
    """A daemon that a test started."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path, position: int) -> None:
        """Takes over a process that logs to ``log`` from ``position`` on."""
        self.popen = popen
        self._log = log
        self._position = position

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None

    def terminate(self) -> int:
        """Sends SIGTERM and returns the exit status."""
        self.popen.terminate()
        return self.popen.wait(timeout=60)

    def kill(self) -> None:
        """Sends SIGKILL and collects it; safe to call twice."""
        self.popen.kill()
        self.popen.wait()

    def hang_up(self) -> None:
        """Sends SIGHUP."""
        self.popen.send_signal(signal.SIGHUP)

    def log(self) -> Iterator[dict[str, object]]:
        """Yields what it has logged."""
        with self._log.open() as file:
            file.seek(self._position)
            for line in file.read().splitlines():
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def text(self) -> str:
        """Returns what it has written to standard error."""
        return self._log.read_text()[self._position :]

    def wait_for_log(self, event: str) -> dict[str, object]:
        """Waits for an event in the log and returns its entry."""

        def look() -> dict[str, object] | None:
            found = next((entry for entry in self.log() if entry.get("event") == event), None)
            assert found or self.alive, self.text()
            return found

        return until(look, f"{event!r} in {self._log.name}")


class AgentProcess(Process):
    """An agent.

    Attributes:
        port: Where it serves HTTP.
    """

    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Returns status and body of a path."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    def report(self) -> dict[str, object] | None:
        """Returns the last report, None before the first."""
        status, body = self.get("/report")
        return json.loads(body) if status == 200 else None

    def metric(self, name: str, **labels: str) -> float | None:
        """Returns the value of one metric, None where it is absent."""
        _, body = self.get("/metrics")
        for family in text_string_to_metric_families(body):
            for sample in family.samples:
                if sample.name == f"vm_preflight_{name}" and labels.items() <= sample.labels.items():
                    return sample.value
        return None


def reasons(report: dict[str, object]) -> dict[str, str]:
    """Returns the reason of each check in a report."""
    results: Sequence[dict[str, str]] = report["results"]  # type: ignore[assignment]  # as the wire has it
    return {result["checkName"]: result["reason"] for result in results}
