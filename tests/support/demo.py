"""The cluster side of vm-preflight, shown on this machine: ``make demo``.

A real API server, etcd and controller manager on loopback, the real controller, and for each node a real
probe and agent. What a kubelet would do, `nodes.StandInKubelet` does. Everything is taken away at the end.
"""

import os
import platform
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import controllerprocess
import offspring
from controllerprocess import PROGRAM
from controlplane import LOOPBACK, ControlPlane, ControlPlaneError, free_ports
from nodes import StandInKubelet
from toolchain import ToolMissingError
from waiting import until

ROOT = Path(__file__).parents[2]
CHECKS = "/apis/vm.cluster.gke.io/v1/namespaces/vm-system/vmruntimepreflightchecks"
RUNTIME = "/apis/vm.cluster.gke.io/v1/vmruntimes/vmruntime"
SKIP = "kubevm.io/VM-SkipSchedule"
MACHINE = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: {name}
  namespace: default
spec: {{}}
"""
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, code: str) -> str:
    """Returns text in a colour, where there is a terminal."""
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def title(text: str) -> None:
    """Prints what comes next."""
    print(f"\n{paint(text, '1;36')}", flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Shows that something takes time, and how long it took."""
    print(f"  {what} … ", end="", flush=True)
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:.1f} s", flush=True)


class Demo:
    """The story, told once, on a control plane that runs."""

    def __init__(self, plane: ControlPlane, stack: ExitStack) -> None:
        """Takes the control plane, and what ends at the end."""
        self.plane = plane
        self.stack = stack
        self.node = platform.node().lower()

    def kubectl(self, words: str, *, stdin: str | None = None) -> str:
        """Shows a kubectl command as a person types it, and what it prints."""
        print(f"  {paint(f'$ kubectl {words}', '1')}", flush=True)
        try:
            output = self.plane.kubectl(*shlex.split(words), stdin=stdin)
        except ControlPlaneError as error:
            output = str(error).partition(": ")[2]
        print("\n".join(f"  {line}" for line in output.rstrip().splitlines()) or "  (nothing)", flush=True)
        return output

    def vm_preflight(self, words: str) -> int:
        """Shows a command of ours and what it prints; returns its exit status."""
        print(f"  {paint(f'$ vm-preflight {words} --kubeconfig K', '1')}", flush=True)
        command = [str(PROGRAM), *shlex.split(words), "--kubeconfig", str(self.plane.kubeconfig)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        print("\n".join(f"  {line}" for line in done.stdout.rstrip().splitlines()), flush=True)
        return done.returncode

    def get(self, path: str) -> dict[str, object]:
        """Asks the API server itself."""
        status, answer = self.plane.request("GET", path)
        return answer if status < 400 else {}

    def checks(self) -> list[dict[str, dict[str, object]]]:
        """The VMRuntimePreflightChecks, oldest first."""
        items = self.get(CHECKS).get("items", [])
        return sorted(items, key=lambda one: one["metadata"]["creationTimestamp"])  # type: ignore[call-overload, no-any-return]  # JSON

    def finished(self, count: int) -> Callable[[], dict[str, dict[str, object]] | None]:
        """Returns a look at whether ``count`` checks are there and the last one is finished."""

        def look() -> dict[str, dict[str, object]] | None:
            checks = self.checks()
            done = len(checks) >= count and all(one.get("status", {}).get("completionTime") for one in checks)
            return checks[-1] if done else None

        return look

    def install(self) -> None:
        """Installs, and starts the controller with the rights that it has in a cluster."""
        title("1. Install")
        print("  $ kubectl apply -k deploy")
        with step("custom resources, rights, admission policies, controller"):
            self.plane.apply_deploy()
            self.plane.apply_virtual_machine_kinds()
        with step("the controller starts, with its own ServiceAccount's token"):
            (port,) = free_ports(1)
            self.controller = f"{LOOPBACK}:{port}"
            process = controllerprocess.start(
                self.plane,
                log=self.plane.directory / "controller.log",
                port=port,
                image="vm-preflight:demo",
            )
            self.stack.callback(offspring.end, process)
            until(lambda: self.get(RUNTIME) or None, "the controller makes the VMRuntime")
        self.kubelet = self.stack.enter_context(StandInKubelet(self.plane, self.node))

    def enable(self) -> bool:
        """Enables, and shows what a user sees of this machine's own result."""
        title(f"2. Enable, and look at the real result of this machine, the node {self.node}")
        self.vm_preflight("enable vmruntime")
        with step("the agent is rolled out, a check is made, the node answers"):
            until(self.finished(1), "the first check's verdict", seconds=60)
        self.kubectl("get vmruntimepfc -n vm-system")
        self.kubectl("get nodepreflights")
        self.kubectl("get vmruntime vmruntime -o yaml")
        return bool(self.checks()[-1]["status"].get("pass"))

    def metrics(self) -> None:
        """Shows what Prometheus scrapes."""
        title("3. What Prometheus scrapes")
        for url in (f"{self.kubelet.agent_url}/metrics", f"http://{self.controller}/metrics"):
            print(f"  {paint(f'$ curl {url}', '1')}")
            with urllib.request.urlopen(url, timeout=5) as answer:
                lines = answer.read().decode().splitlines()
            shown = [
                line
                for line in lines
                if line.startswith("vm_preflight") and "_bucket" not in line and "_created" not in line
            ]
            print("\n".join(f"  {line}" for line in shown if not line.endswith(" 0.0")))

    def skip_and_return(self) -> None:
        """Takes the node out and back, and shows how fast the rerun is answered."""
        title("4. Leave the node out, take it back: checked again at once")
        self.kubectl(f'label nodes {self.node} "{SKIP}="')
        until(lambda: self.preflight("spec").get("skip"), "the node is skipped")
        before = len(self.checks())
        asked = time.monotonic()
        self.kubectl(f"label nodes {self.node} {SKIP}-")
        check = until(self.finished(before + 1), "the rerun's verdict", seconds=60)
        took = time.monotonic() - asked
        print(f"  {took:.2f} s from that command's start to the verdict of {check['metadata']['name']}")
        self.kubectl("get vmruntimepfc -n vm-system")

    def preflight(self, part: str) -> dict[str, object]:
        """A part of this node's NodePreflight."""
        return self.get(f"/apis/kubevm.io/v1alpha1/nodepreflights/{self.node}").get(part, {})  # type: ignore[return-value]  # JSON

    def gate(self, *, passed: bool) -> None:
        """Creates a virtual machine after a pass, then lets a node without KVM join, and creates another."""
        title("5. Create a virtual machine" if passed else "5. A virtual machine cannot be created")
        self.kubectl("create -f -", stdin=MACHINE.format(name="first"))
        title("6. A second node joins that has no KVM (a captured machine, tests/hosts/no-kvm)")
        with step("its agent starts"):
            node = StandInKubelet(
                self.plane, "worker-without-kvm", host_root=ROOT / "tests" / "hosts" / "no-kvm"
            )
            self.stack.enter_context(node)
            until(lambda: node.process("agent") is not None or None, "the second node's agent")
        self.vm_preflight("check vmruntimepfc")
        self.kubectl("get vmruntimepfc -n vm-system")
        self.kubectl("get nodepreflights")
        print("  Now a virtual machine is refused:")
        refused = self.kubectl("create -f -", stdin=MACHINE.format(name="second"))
        if "failed (KVM" not in refused:
            raise SystemExit(f"the refusal does not name check and feature: {refused}")

    def disable(self) -> None:
        """Switches off, and shows that only the controller is left."""
        title("7. Switch it off")
        self.vm_preflight("disable vmruntime --force")
        with step("the agents end"):
            until(
                lambda: not self.plane.kubectl("get", "daemonsets", "-n", "vm-system", "-o", "name"),
                "no DaemonSet",
            )
        self.kubectl("get daemonsets,nodepreflights -n vm-system")


def main() -> int:
    """Tells the story; returns the exit status."""
    title("A control plane on loopback: etcd, kube-apiserver, kube-controller-manager")
    with ExitStack() as stack:
        try:
            with step("starting (the first time, its programs are built: some ten minutes)"):
                plane = stack.enter_context(ControlPlane(controller_manager=True))
        except ToolMissingError as error:
            print(f"\nmake demo: {error}", file=sys.stderr)
            return 2
        demo = Demo(plane, stack)
        try:
            demo.install()
            passed = demo.enable()
            demo.metrics()
            demo.skip_and_return()
            demo.gate(passed=passed)
            demo.disable()
        except AssertionError as error:
            print(f"\nmake demo: {error}", file=sys.stderr)
            for log in sorted(plane.directory.rglob("*.log")):
                if log.name in ("controller.log", "agent.log", "probe.log"):
                    print(f"--- {log.relative_to(plane.directory)}", file=sys.stderr)
                    print("\n".join(log.read_text().splitlines()[-15:]), file=sys.stderr)
            return 1
        title("Cleaning up")
    print("  nothing is left of it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
