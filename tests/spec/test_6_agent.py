"""spec.md, section 6, *The node agent*, and what interfaces.md says of its HTTP and metrics.

Real: API server, controller, the DaemonSet's pods, probes and agents, on this machine and on one without KVM.
Kubelets, scheduler and containers are stood in for (`nodes.StandInKubelet`).
"""

import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import pytest
from controllerlab import MANIFEST, ControllerLab
from controlplane import LOOPBACK, ControlPlane, free_ports
from nodes import StandInKubelet
from prometheus_client.parser import text_string_to_metric_families
from waiting import until

from cluster import shapes
from cluster.resources import CHECKS, NAMESPACE, NODE_PREFLIGHTS, SKIP_LABEL

WITHOUT_KVM = Path(__file__).parents[1] / "hosts" / "no-kvm"
BUILT_IN = {point.name for point in entry_points(group="vm_preflight.checks")}
SETTINGS = '[run]\nignore = ["Tun"]\n'  # the other machine has none of these either


class Cluster(NamedTuple):
    """The cluster, its nodes' kubelets, and where the controller serves."""

    lab: ControllerLab
    real: StandInKubelet
    without_kvm: StandInKubelet
    controller_url: str

    def results(self, check: str, node: str) -> dict[str, Mapping[str, object]]:
        """What a check's status says of a node, by the checks' names."""
        found = shapes.items(self.lab.check(check), "checks", node, "results")
        return {shapes.text(one, "checkName"): one for one in found}

    def first(self) -> str:
        """Name of the check that came of enabling."""
        found = self.lab.client.list(CHECKS.path(namespace=NAMESPACE))
        (name,) = [
            shapes.text(one, "metadata", "name")
            for one in shapes.items(found, "items")
            if shapes.text(one, "metadata", "annotations", "kubevm.io/trigger") == "Enabled"
        ]
        return name


def get(url: str) -> tuple[int, str]:
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metric(url: str, name: str, **labels: str) -> float | None:
    """The value of a metric, None where it is absent."""
    for family in text_string_to_metric_families(get(f"{url}/metrics")[1]):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


@pytest.fixture(scope="module")
def cluster(installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Installed with settings and a check of one's own, as docs/operations.md says; enabled, and checked."""
    manifest = tmp_path_factory.mktemp("deploy") / "daemonset.yaml"
    manifest.write_text(re.sub(r"^( *)#(?=-|  )", r"\1", MANIFEST.read_text(), flags=re.MULTILINE))
    (port,) = free_ports(1)
    real = StandInKubelet(installed, "real")
    without_kvm = StandInKubelet(installed, "without-kvm", host_root=WITHOUT_KVM)
    for node in (real, without_kvm):
        volumes = node.directory / "volumes"
        for name in ("config", "plugins"):
            (volumes / name).mkdir(parents=True)
        (volumes / "config" / "preflight.toml").write_text(SETTINGS)
        own = volumes / "plugins" / "greeting"
        own.write_text('#!/bin/sh\necho "hello from $1"\n')
        own.chmod(0o755)
        own.with_suffix(".toml").write_text('weight = "blocking"\n')
    with ExitStack() as stack:
        lab = stack.enter_context(ControllerLab(installed))
        lab.agents.silent = {"real", "without-kvm"}  # real agents answer
        stack.enter_context(real)
        stack.enter_context(without_kvm)
        lab.start(manifest=manifest, port=port)
        lab.installed()
        assert (lab.daemon_set(), lab.pods()) == ({}, [])
        lab.enable()
        lab.verdict(passed=False)
        yield Cluster(lab, real, without_kvm, f"http://{LOOPBACK}:{port}")


def test_rolled_out_automatically(cluster: Cluster) -> None:
    """Line: a DaemonSet agent, rolled out automatically."""
    lab = cluster.lab

    lab.until(lambda: lab.condition("AgentsRolledOut")["status"] == "True", "rolled out")

    assert len(lab.pods()) == 2
    assert "vm-preflight-agent" in lab.plane.kubectl("get", "daemonset", "-n", "vm-system")


def test_pluggable_hardware_checks(cluster: Cluster) -> None:
    """Line: it runs pluggable hardware checks on its node (KVM device, CPU flags, emulation fallback, …)."""
    ran = cluster.results(cluster.first(), "real")

    assert set(ran) == {*BUILT_IN, "Greeting"}
    assert {"KVM", "CPU", "Emulation"} < set(ran)
    assert ran["Greeting"]["passed"] is True
    assert ran["KVM"]["reason"] == "GuestRan"


def test_results_end_up_in_the_checks_status(cluster: Cluster) -> None:
    """Line: it publishes per-node results that end up in the VMRuntimePreflightCheck's status."""
    for node in ("real", "without-kvm"):
        preflight = cluster.lab.get(NODE_PREFLIGHTS, node)
        published = {
            shapes.text(one, "checkName"): (one["passed"], one["status"], one["reason"])
            for one in shapes.items(preflight, "status", "results")
        }
        ended_up = cluster.results(cluster.first(), node)
        assert {
            name: (one["passed"], one["status"], one["reason"]) for name, one in ended_up.items()
        } == published
    assert set(cluster.lab.check(cluster.first())["failures"]) == {"without-kvm"}


def test_features_are_the_checks_that_ran(cluster: Cluster) -> None:
    """Section 1: every check that ran is a feature, passed when it let every node that took part pass."""
    features = shapes.mapping(cluster.lab.summary(), "featureStatuses")

    assert set(features) == {*BUILT_IN, "Greeting"}
    assert features["KVM"] == {"passed": False, "failedNodeNum": 1}
    assert {name for name in features if features[name] != {"passed": True}} == {"KVM"}


def test_a_message_better_than_the_originals(cluster: Cluster) -> None:
    """Section 1: what was tried, what came back, why, and what to do."""
    message = str(cluster.results(cluster.first(), "without-kvm")["KVM"]["message"])

    told, *hints = message.splitlines()
    assert told.startswith("opening /dev/kvm: No such file or directory")
    assert "KVM is not registered with the kernel: kvm_amd is neither in modules.builtin nor" in told
    assert hints == [
        "install a kernel with KVM, or its modules (Fedora: dnf install kernel-modules), and reboot"
    ]


def test_scraped_by_prometheus(cluster: Cluster, promtool: Path) -> None:
    """Line: serves them to Prometheus, and is scraped by it."""
    (pod,) = [pod for pod in cluster.lab.pods() if shapes.text(pod, "spec", "nodeName") == "real"]
    annotations = shapes.mapping(pod, "metadata", "annotations")
    ports = [
        port["containerPort"]
        for container in shapes.items(pod, "spec", "containers")
        for port in shapes.items(container, "ports")
    ]
    assert annotations["prometheus.io/scrape"] == "true"
    assert [annotations["prometheus.io/port"]] == [str(port) for port in ports] == ["9955"]

    shown = get(f"{cluster.real.agent_url}/metrics")[1]
    done = subprocess.run([promtool, "check", "metrics"], input=shown, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert metric(cluster.real.agent_url, "vm_preflight_passed") == 1
    assert metric(cluster.without_kvm.agent_url, "vm_preflight_passed") == 0
    assert metric(cluster.without_kvm.agent_url, "vm_preflight_check_passed", check="KVM") == 0


AGENT_METRICS = """\
| `passed` | gauge | |
| `check_passed` | gauge | `check` |
| `check_status` | gauge | `check`, `status`, `reason` |
| `check_duration_seconds` | gauge | `check` |
| `mode` | gauge | `mode` |
| `skipped` | gauge | |
| `last_run_timestamp_seconds` | gauge | |
| `runs_total` | counter | `trigger` |
| `run_duration_seconds` | histogram | |
| `probe_up` | gauge | |
| `publish_errors_total` | counter | `code` |
| `build_info` | gauge | `version`, `python`, `kernel` |"""
CONTROLLER_METRICS = """\
| `nodes` | gauge | `state` |
| `gate_open` | gauge | |
| `runs_total` | counter | `trigger`, `result` |
| `run_duration_seconds` | histogram | |
| `reconcile_errors_total` | counter | `kind` |
| `watch_restarts_total` | counter | `resource` |
| `leader` | gauge | |
| `build_info` | gauge | `version`, `python` |"""
ONLY_AFTER_AN_ERROR = {"publish_errors_total", "reconcile_errors_total", "watch_restarts_total"}


def families(url: str, prefix: str) -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each metric that is served, without Python's own."""
    return {
        family.name.removeprefix(prefix) + ("_total" if family.type == "counter" else ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels if label != "le"},
        )
        for family in text_string_to_metric_families(get(f"{url}/metrics")[1])
        if family.name.startswith(prefix)
    }


@pytest.mark.parametrize("row", AGENT_METRICS.splitlines())
def test_metrics_of_the_agent(cluster: Cluster, row: str) -> None:
    """interfaces.md, *Metrics*, the agent's table."""
    check_metric(families(cluster.without_kvm.agent_url, "vm_preflight_"), row)


@pytest.mark.parametrize("row", CONTROLLER_METRICS.splitlines())
def test_metrics_of_the_controller(cluster: Cluster, row: str) -> None:
    """interfaces.md, *Metrics*, the controller's."""
    check_metric(families(cluster.controller_url, "vm_preflight_controller_"), row)


def check_metric(served: Mapping[str, tuple[str, set[str]]], row: str) -> None:
    name, kind, labels = (cell.strip() for cell in row.strip("|").split("|"))
    name = name.strip("`")
    found_kind, found_labels = served[name]

    assert found_kind == kind
    if name not in ONLY_AFTER_AN_ERROR:
        assert found_labels == set(re.findall("`(.*?)`", labels))


def test_metrics_that_no_table_has(cluster: Cluster) -> None:
    """interfaces.md, *Metrics*: names are stable, and nothing else is served."""
    for table, url, prefix in (
        (AGENT_METRICS, cluster.real.agent_url, "vm_preflight_"),
        (CONTROLLER_METRICS, cluster.controller_url, "vm_preflight_controller_"),
    ):
        assert set(families(url, prefix)) == set(re.findall(r"^\| `(.*?)`", table, re.MULTILINE))


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/metrics", 200, "# HELP vm_preflight_"),
        ("/healthz", 200, "ok"),
        ("/readyz", 200, "ok"),
        ("/", 200, "<html"),
        ("/anything", 404, ""),
    ],
)
def test_http(cluster: Cluster, path: str, status: int, told: str) -> None:
    """interfaces.md, *HTTP*: `/metrics`, `/healthz`, `/readyz`, `/` a page for people; nothing else."""
    for url in (cluster.real.agent_url, cluster.controller_url):
        found, body = get(f"{url}{path}")
        assert (found, told in body) == (status, True), body


def test_what_is_seen_of_the_nodes(cluster: Cluster) -> None:
    """design.md: the columns of `kubectl get npf`: Passed, Mode, Failed (names), Reason, Run, Age."""
    header, *rows = cluster.lab.plane.kubectl("get", "npf").splitlines()

    assert header.split() == ["NAME", "PASSED", "MODE", "FAILED", "REASON", "RUN", "AGE"]
    assert [row.split()[:-1] for row in rows] == [
        ["real", "true", "Hardware", cluster.first()],
        ["without-kvm", "false", "None", "KVM", "ModuleMissing", cluster.first()],
    ]


def test_honours_the_skip_label(cluster: Cluster) -> None:
    """Lines: it honours the skip label, and reruns on demand when the label is removed."""
    lab, agent = cluster.lab, cluster.without_kvm.agent_url
    ran = metric(agent, "vm_preflight_runs_total", trigger="Requested")
    lab.plane.kubectl("label", "nodes", "without-kvm", f"{SKIP_LABEL}=")
    until(lambda: metric(agent, "vm_preflight_skipped") == 1, "the agent is idle")
    lab.ask("while-skipped")
    lab.until(lambda: lab.check("while-skipped").get("pass") is True, "its verdict")
    assert set(lab.check("while-skipped")["checks"]) == {"real"}
    assert metric(agent, "vm_preflight_runs_total", trigger="Requested") == ran
    assert len(lab.pods()) == 2, "the agent stays"

    lab.plane.kubectl("label", "nodes", "without-kvm", f"{SKIP_LABEL}-")
    lab.verdict(passed=False)
    assert metric(agent, "vm_preflight_runs_total", trigger="Requested") == (ran or 0) + 1
    assert metric(agent, "vm_preflight_skipped") == 0


def test_emulation_fallback(cluster: Cluster) -> None:
    """Section 1, `useEmulation`: nodes lack hardware virtualisation; VMs may run under software emulation."""
    lab = cluster.lab
    lab.enable(useEmulation=True)
    name = lab.verdict(passed=True)

    kvm = cluster.results(name, "without-kvm")["KVM"]
    assert (kvm["passed"], kvm["status"], kvm["reason"]) == (True, "Warn", "ModuleMissing")
    assert shapes.text(lab.get(NODE_PREFLIGHTS, "without-kvm"), "status", "mode") == "Emulation"
    assert shapes.text(lab.get(NODE_PREFLIGHTS, "real"), "status", "mode") == "Hardware"


def test_ignored_checks(cluster: Cluster) -> None:
    """decisions.md 8: `ignoredChecks` is applied by the agent: still run and shown, as a warning at most."""
    lab = cluster.lab
    before = lab.checks()
    lab.enable(useEmulation=False, preflight={"ignoredChecks": ["KVM"]})
    name = lab.verdict(passed=True, other_than=before)

    kvm = cluster.results(name, "without-kvm")["KVM"]
    assert (kvm["passed"], kvm["status"], kvm["reason"]) == (True, "Warn", "ModuleMissing")


def test_off(cluster: Cluster) -> None:
    """Section 5: when it is off, nothing runs on the nodes."""
    lab = cluster.lab
    lab.enable(enabled=False)

    lab.until(lambda: not lab.pods(), "the agents' pods are gone")
    assert [
        node.process("probe") or node.process("agent") for node in (cluster.real, cluster.without_kvm)
    ] == [
        None,
        None,
    ]
