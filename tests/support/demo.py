"""The whole story of vm-preflight in a cluster, told on this machine: ``make demo``.

A real API server, etcd and controller manager on loopback, the real controller, and for each node a real
probe and agent. What a kubelet would do, `nodes.StandInKubelet` does. Everything is taken away at the end.
It ends with status 1 where something that it shows is not so.
"""

import os
import platform
import shutil
import stat
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import controllerprocess
import offspring
import toolchain
import vmkinds
from controlplane import LOOPBACK, ControlPlane, free_ports
from nodes import StandInKubelet
from stage import Stage
from waiting import until

HOSTS = Path(__file__).parents[1] / "hosts"
CHECKS = "/apis/vm.cluster.gke.io/v1/namespaces/vm-system/vmruntimepreflightchecks"
RUNTIME = "/apis/vm.cluster.gke.io/v1/vmruntimes/vmruntime"
SKIP = "kubevm.io/VM-SkipSchedule"
SECONDS = 60
"""How long anything is waited for: the machine may be busy."""
MACHINE = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{}}
"""
NO_KVM, DRIFTING = "worker-without-kvm", "worker-1"


class Demo:
    """The story, told once, on a control plane that runs."""

    def __init__(self, plane: ControlPlane, stage: Stage, stack: ExitStack) -> None:
        """Takes the control plane, where the story is told, and what ends at the end."""
        self.plane = plane
        self.stage = stage
        stage.directory = plane.directory
        self.stack = stack
        self.node = platform.node().lower()
        programs = os.pathsep.join(
            [str(controllerprocess.PROGRAM.parent), str(toolchain.find("kubectl").parent)]
        )
        stage.environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "KUBECONFIG": str(plane.kubeconfig),
            "KUBECACHEDIR": str(plane.directory / "kubectl-cache"),
        }

    def tell(self) -> None:
        """Tells it all.

        Raises:
            AssertionError: Something is not as the story says.
        """
        self.install()
        self.enable()
        self.explain()
        self.metrics()
        self.skip_and_return()
        self.create("first")
        self.publish()
        self.drift()
        self.a_node_without_kvm()
        self.emulation()
        self.disable()

    # chapters

    def install(self) -> None:
        """Installs, and starts the controller with the rights that it has in a cluster."""
        self.stage.title("Install: nothing runs on the nodes yet")
        self.stage.say("$ kubectl apply -k deploy")
        with self.stage.step("custom resources, rights, admission policies, controller"):
            self.plane.apply_deploy()
            self.plane.apply_kinds()
        with self.stage.step("the controller starts, with its own ServiceAccount's token"):
            (port,) = free_ports(1)
            self.controller = f"{LOOPBACK}:{port}"
            process = controllerprocess.start(
                self.plane, log=self.plane.directory / "controller.log", port=port, image="vm-preflight:demo"
            )
            self.stack.callback(offspring.end, process)
            self.until(lambda: self.get(RUNTIME), "the controller makes the VMRuntime")
            vmkinds.would_be_created(self.plane)  # after some starts of an API server it takes half a minute
        self.kubelet = self.stack.enter_context(StandInKubelet(self.plane, self.node))
        self.stage.run("kubectl get vmruntime vmruntime", says="false")

    def enable(self) -> None:
        """Enables, and shows what a user sees of this machine's own result."""
        self.stage.title(f"Enable: every node is asked (here one: this machine, the node {self.node})")
        self.stage.run("kubectl vm-preflight enable", says="VM runtime enabled")
        with self.stage.step("the agent is rolled out, a check is made, the node answers"):
            self.until(self.finished(1), "the first check's verdict")
        self.stage.run("kubectl vm-preflight", says=rf"(?m)^{self.node} +(Passed|Failed) ")
        self.stage.run("kubectl get vmruntime,vmruntimepfc -n vm-system")

    def explain(self) -> None:
        """Shows a node's report."""
        self.stage.title("Explain a node: what was tried there, what came back, what to do")
        passed = bool(self.preflight(self.node, "status").get("passed"))
        self.stage.run(
            f"kubectl vm-preflight explain {self.node}",
            status=0 if passed else 1,
            says=f"node {self.node} {'passed' if passed else 'failed'}",
            lines=6,
        )

    def metrics(self) -> None:
        """Shows what Prometheus scrapes."""
        self.stage.title("What Prometheus scrapes, of the node's agent and of the controller")
        some = 'passed [01]|mode|check_status.*"KVM"|last_run'
        for url, only in (
            (self.kubelet.agent_url, some),
            (f"http://{self.controller}", "nodes.* [1-9]|gate_open"),
        ):
            with urllib.request.urlopen(f"{url}/metrics", timeout=SECONDS) as answer:
                self.stage.show(
                    f"curl -s {url}/metrics",
                    answer.read().decode(),
                    only=f"^vm_preflight_(controller_)?({only})",
                    says="passed [01]|gate_open [01]",
                )

    def skip_and_return(self) -> None:
        """Takes the node out and back, and shows how fast the rerun is answered."""
        self.stage.title("Leave the node out, take it back: it is checked again at once")
        self.stage.run(f'kubectl label nodes {self.node} "{SKIP}="', says="labeled")
        self.until(lambda: self.preflight(self.node, "spec").get("skip"), "the node is skipped")
        self.stage.run("kubectl vm-preflight", says=rf"(?m)^{self.node} +Skipped ")
        before = len(self.checks())
        asked = time.monotonic()
        self.stage.run(f"kubectl label nodes {self.node} {SKIP}-", says="unlabeled")
        check = self.until(self.finished(before + 1), "the rerun's verdict")
        took = time.monotonic() - asked
        self.stage.say(
            f"{took:.2f} s from that command's start to the verdict of {check['metadata']['name']}"
        )

    def create(self, name: str, *, namespace: str = "default") -> None:
        """Creates a virtual machine, which must be let through or refused as the last verdict says."""
        latest = self.until(self.finished(1), "its verdict")["metadata"]["name"]
        self.until(lambda: self.last().get("name") == latest, "the verdict decides")
        passed = bool(self.last().get("passed"))
        self.until(lambda: vmkinds.would_be_created(self.plane) is passed, "the gate goes by it")
        if name == "first":
            self.stage.title(f"Virtual machines {'can' if passed else 'cannot'} be created now")
        file = self.plane.directory / f"{name}.yaml"
        file.write_text(MACHINE.format(name=name, namespace=namespace))
        self.stage.run(
            f"kubectl create -f {file.name}",
            status=0 if passed or namespace != "default" else 1,
            says=f"{name} created" if passed or namespace != "default" else "preflight check .* failed",
        )

    def publish(self) -> None:
        """Shows what others can hold on to: the node's condition and label, opted in."""
        self.stage.title("Tell others, if you like: a condition and a label of each node")
        self.patch('{"spec": {"preflight": {"nodeCondition": true, "nodeLabel": true}}}')
        self.until(lambda: self.condition(self.node), "the node's condition")
        self.stage.run("kubectl get nodes -L kubevm.io/vm-mode", says="hardware|emulation|none")
        self.stage.run(
            f"kubectl describe node {self.node}", only="VMPreflightPassed", says="VMPreflightPassed"
        )

    def drift(self) -> None:
        """Takes a node's device away and gives it back, while nobody asks."""
        self.stage.title("A node loses its device while nobody asks")
        root = self.machine_of_its_own()
        if root is None:
            self.stage.say(
                "not shown: it takes root and a working /dev/kvm, to make a device node and to remove it"
            )
            return
        with self.stage.step(f"{DRIFTING} joins: a machine with a device node of its own"):
            self.stack.enter_context(StandInKubelet(self.plane, DRIFTING, host_root=root))
            self.until(lambda: self.preflight(DRIFTING, "status").get("passed"), f"{DRIFTING} passes")
        device = root / "dev" / "kvm"
        for passed, command in ((False, "rm /dev/kvm"), (True, "mknod /dev/kvm c 10 232")):
            self.stage.say(f"$ {command}    # on {DRIFTING}")
            start = time.monotonic()
            device.unlink() if device.exists() else make_kvm(device)
            self.until(
                lambda passed=passed: self.preflight(DRIFTING, "status").get("passed") is passed,  # type: ignore[misc]
                f"{DRIFTING}'s verdict is {passed}",
            )
            self.stage.say(f"{time.monotonic() - start:.2f} s until its NodePreflight says so")
            if not passed:
                self.until(lambda: self.condition(DRIFTING) == "False", "its condition is False")
                self.stage.run("kubectl vm-preflight", says=rf"(?m)^{DRIFTING} +Failed +None +KVM")
        self.until(
            lambda: "NodeReadyForVMs" in self.plane.kubectl("get", "events", "-o", "json"),
            "the Event that it is ready again",
        )
        self.stage.run(
            f"kubectl get events --field-selector involvedObject.name={DRIFTING},involvedObject.kind=Node",
            says="NodeNotReadyForVMs",
            only="ForVMs",
        )

    def a_node_without_kvm(self) -> None:
        """Lets a node join that has no KVM: the gate closes, and says why."""
        self.stage.title("A node without KVM joins: one bad node closes the gate")
        with self.stage.step(f"{NO_KVM} joins (a captured machine, tests/hosts/no-kvm)"):
            self.stack.enter_context(StandInKubelet(self.plane, NO_KVM, host_root=HOSTS / "no-kvm"))
            self.until(lambda: "passed" in self.preflight(NO_KVM, "status"), f"{NO_KVM} has checked itself")
        self.stage.run("kubectl vm-preflight run", status=1, says=f"{NO_KVM} failed")
        self.stage.run("kubectl vm-preflight", says=rf"(?m)^{NO_KVM} +Failed +None +KVM")
        self.stage.say("What somebody sees who creates a virtual machine now:")
        self.create("second")
        self.stage.run(f"kubectl vm-preflight explain {NO_KVM}", status=1, only="^(KVM|Tun|node) ")
        self.stage.say("In an emergency, a namespace is let through:")
        self.stage.run("kubectl create namespace emergency")
        self.stage.run("kubectl label namespace emergency kubevm.io/preflight-gate=off")
        self.create("urgent", namespace="emergency")

    def emulation(self) -> None:
        """Lets VMs run under software emulation, and ignores a check."""
        self.stage.title(
            "Let VMs run under emulation there, and without TAP devices: a changed feature checks anew"
        )
        before = len(self.checks())
        self.patch('{"spec": {"useEmulation": true, "preflight": {"ignoredChecks": ["Tun"]}}}')
        self.until(self.finished(before + 1), "the verdict with emulation")
        self.stage.run("kubectl vm-preflight", says=rf"(?m)^{NO_KVM} +Passed +Emulation")
        self.create("second")

    def disable(self) -> None:
        """Switches off: not while virtual machines are in the way, unless that is said."""
        self.stage.title("Switch it off: virtual machines are protected")
        self.stage.run("kubectl vm-preflight disable", status=1, says="in the way .*--force=true")
        self.stage.run("kubectl vm-preflight disable --force", says="VM runtime disabled")
        with self.stage.step("the agents end"):
            self.until(
                lambda: not self.plane.kubectl("get", "daemonsets", "-n", "vm-system", "-o", "name"),
                "no DaemonSet",
            )
        self.stage.run(
            "kubectl get daemonsets,nodepreflights,virtualmachines -A", says=r"^No resources found\s*$"
        )

    # what is looked at

    def until(self, look: Callable[[], Any], what: str) -> Any:
        """Waits for what `look` finds."""
        return until(lambda: look() or None, what, seconds=SECONDS)

    def patch(self, change: str) -> None:
        """Changes the VMRuntime."""
        self.stage.run(f"kubectl patch vmruntime vmruntime --type merge -p '{change}'", says="patched")

    def get(self, path: str) -> dict[str, Any]:
        """Asks the API server itself; empty where there is nothing."""
        status, answer = self.plane.request("GET", path)
        return answer if status < 400 else {}

    def checks(self) -> list[dict[str, Any]]:
        """The VMRuntimePreflightChecks, oldest first."""
        return sorted(
            self.get(CHECKS).get("items", []), key=lambda one: str(one["metadata"]["creationTimestamp"])
        )

    def finished(self, count: int) -> Callable[[], dict[str, Any] | None]:
        """Returns a look at whether ``count`` checks are there and all are finished; gives the latest."""

        def look() -> dict[str, Any] | None:
            checks = self.checks()
            done = len(checks) >= count and all(one.get("status", {}).get("completionTime") for one in checks)
            return max(checks, key=lambda one: str(one["status"]["completionTime"])) if done else None

        return look

    def last(self) -> dict[str, Any]:
        """What the gate knows of the last check."""
        summary = self.get(RUNTIME).get("status", {}).get("preflightCheckSummary", {})
        return dict(summary.get("lastCompleted", {}))

    def preflight(self, node: str, part: str) -> dict[str, Any]:
        """A part of a node's NodePreflight."""
        found = self.get(f"/apis/kubevm.io/v1alpha1/nodepreflights/{node}").get(part, {})
        return found if isinstance(found, dict) else {}

    def condition(self, node: str) -> str:
        """The status of a Node's condition VMPreflightPassed, empty where it is not there."""
        conditions = self.get(f"/api/v1/nodes/{node}").get("status", {}).get("conditions", [])
        return next(
            (str(one["status"]) for one in conditions if one["type"].endswith("VMPreflightPassed")), ""
        )

    def machine_of_its_own(self) -> Path | None:
        """Makes a root directory with device nodes that can be taken away; None where that cannot be."""
        root = self.plane.directory / "machine"
        shutil.copytree(HOSTS / "pvm", root)
        try:
            make_kvm(root / "dev" / "kvm")
            (root / "dev" / "net").mkdir()
            os.mknod(root / "dev" / "net" / "tun", stat.S_IFCHR | 0o600, os.makedev(10, 200))
            os.close(os.open(root / "dev" / "kvm", os.O_RDWR))
        except OSError:
            return None
        return root


def make_kvm(path: Path) -> None:
    """Makes KVM's device node."""
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(10, 232))


def main() -> int:
    """Tells the story; returns the exit status."""
    stage = Stage()
    start = time.monotonic()
    print("A control plane on loopback: etcd, kube-apiserver, kube-controller-manager", flush=True)
    with ExitStack() as stack:
        try:
            with stage.step("starting (the first time, its programs are built: some ten minutes)"):
                plane = stack.enter_context(ControlPlane(controller_manager=True))
        except toolchain.ToolMissingError as error:
            print(f"\nmake demo: {error}", file=sys.stderr)
            return 2
        try:
            Demo(plane, stage, stack).tell()
        except AssertionError as error:
            print(f"\nmake demo: {error}", file=sys.stderr)
            for log in sorted(plane.directory.rglob("*.log")):
                if log.name in ("controller.log", "agent.log", "probe.log"):
                    print(f"--- {log.relative_to(plane.directory)}", file=sys.stderr)
                    print("\n".join(log.read_text().splitlines()[-15:]), file=sys.stderr)
            return 1
    print(f"\nTold in {time.monotonic() - start:.0f} s; nothing is left of it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
