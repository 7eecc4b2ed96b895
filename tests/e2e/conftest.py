"""Fixtures of the end-to-end tests: the cluster, what is installed in it, and the log's story."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import realcluster
import toolchain
import yaml
from controlplane import DEPLOY, VIRTUAL_MACHINE_KINDS
from endtoend import MACHINE, MACHINES, EndToEnd
from kubectl import Kubectl
from realcluster import RealCluster
from story import Story
from waiting import until

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "build" / "e2e-logs"
OWN_IMAGE = "registry.example/vm-preflight:0.1.0"
"""What the image is called on our own nodes, where it lies already: there is no such registry."""
STORY = pytest.StashKey[Story]()
NODES = 3
SECONDS = 120.0
"""Time for what a kubelet or the API server does in its own time, on a busy machine."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("end to end")
    group.addoption("--cluster", help="kubeconfig of a cluster to test on, instead of one of our own")
    group.addoption("--image", help="our image, as the nodes of that cluster pull it")
    group.addoption("--archive", help="our image in a file (make image), for a cluster of our own")


def pytest_configure(config: pytest.Config) -> None:
    """A cluster that is given pulls our image from somewhere."""
    if config.option.cluster and not config.option.image:
        raise pytest.UsageError("CLUSTER needs IMAGE: what the nodes of that cluster pull")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The README's story is told first."""
    items.sort(key=lambda item: item.path.name != "test_story.py")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds missing programs before the first test, outside any test's time-out, with visible progress."""
    config = session.config
    if config.option.collectonly or config.option.cluster or not session.items or realcluster.why_not():
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            realcluster.programs()
        except toolchain.ToolMissingError as error:  # the fixture tells it to each test
            print(f"toolchain: {error}")


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """No dots in the middle of the story: who passed has told it, who was skipped is listed at the end."""
    if report.passed or report.skipped:
        return (report.outcome if report.when == "call" or report.skipped else "", "", "")
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tells what was measured once more."""
    story = config.stash.get(STORY, None)
    if story is not None and story.measured:
        terminalreporter.section("measured")
        for what, seconds in story.measured:
            terminalreporter.write_line(f"  {seconds:6.1f} s  {what}")


@pytest.fixture(scope="session")
def story(pytestconfig: pytest.Config) -> Story:
    """What the log tells."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def show(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    return pytestconfig.stash.setdefault(STORY, Story(show))


@pytest.fixture(autouse=True)
def _title(request: pytest.FixtureRequest, story: Story) -> None:
    """Each test's docstring is the title of its part of the story."""
    story.title(" ".join((request.function.__doc__ or request.node.name).split()))


def _cannot(reason: str) -> None:
    """Skips with the reason; in CI a test that cannot be run fails."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def bed(
    request: pytest.FixtureRequest,
    pytestconfig: pytest.Config,
    story: Story,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EndToEnd]:
    """The cluster, without anything of ours in it."""
    given = pytestconfig.option.cluster
    if given:
        program, cache = toolchain.find("kubectl"), tmp_path_factory.mktemp("kubectl-cache")
        kubectl = Kubectl(program, Path(given), cache)
        if kubectl("get", "namespace", "vm-system", MACHINES, "--ignore-not-found", "-o", "name"):
            pytest.fail(f"{given}: there is a namespace vm-system or {MACHINES} already: take it away first")
        yield EndToEnd(kubectl, Path(given), pytestconfig.option.image, None)
        return
    if reason := realcluster.why_not():
        _cannot(f"a cluster on this machine: {reason}")
    archives = sorted((ROOT / "dist").glob("vm-preflight-*.oci.tar"), key=lambda path: path.stat().st_mtime)
    if pytestconfig.option.archive:
        archives = [Path(pytestconfig.option.archive)]
    if not archives:
        _cannot("there is no image in dist/: make image")
    try:
        cluster = RealCluster(NODES)
    except toolchain.ToolMissingError as error:
        _cannot(str(error))
    story.title("A cluster on this machine.")
    with story.measure(f"nothing → {NODES} nodes Ready"):
        cluster.start()
    try:
        with story.step(f"{archives[-1].name} is on every node, as {OWN_IMAGE}"):
            cluster.load_image(archives[-1], OWN_IMAGE)
        yield EndToEnd(cluster.kubectl, cluster.kubeconfig, OWN_IMAGE, cluster)
    finally:
        if request.session.testsfailed:
            cluster.keep_logs(LOGS)
            story.say(f"the logs of kubelets, containerds and control plane are kept in {LOGS}")
        cluster.stop()


@pytest.fixture(scope="session")
def own(bed: EndToEnd) -> RealCluster:
    """The cluster, where its nodes are ours to do with as we like."""
    if bed.own is None:
        pytest.skip("the nodes of a cluster that was given are left alone: this needs a cluster of our own")
    return bed.own


@pytest.fixture(scope="session")
def deploy(bed: EndToEnd, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/ in which `kustomize edit set image vm-preflight=IMAGE` was run."""
    copy = tmp_path_factory.mktemp("installation") / "deploy"
    shutil.copytree(DEPLOY, copy)
    name, _, tag = bed.image.rpartition(":")
    file = copy / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization["images"] = [{"name": "vm-preflight", "newName": name, "newTag": tag}]
    file.write_text(yaml.safe_dump(kustomization))
    return copy


@pytest.fixture(scope="session")
def installed(bed: EndToEnd, deploy: Path, story: Story) -> Iterator[EndToEnd]:
    """The cluster with `kubectl apply -k deploy` done, the controller at work, and the VM runtime off."""
    story.title("An administrator installs vm-preflight.")
    try:
        with story.step("kubectl apply -k deploy"):
            bed.kubectl("apply", "-k", deploy)
        with story.measure("applied → the controller has made the VMRuntime"):
            # until the CRD is served, kubectl does not know the word
            bed.kubectl(
                "wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/name=vm-preflight"
            )
            until(lambda: bed.runtime() or None, "the VMRuntime appears", seconds=SECONDS)
        yield bed
    finally:
        story.title("It is taken away again.")
        with story.step("kubectl delete -k deploy"):
            bed.kubectl("delete", "-k", deploy, "--ignore-not-found")


@pytest.fixture
def switched_off(installed: EndToEnd, story: Story) -> EndToEnd:
    """The same, with the VM runtime off and no agent left."""
    if installed.runtime()["spec"]["enabled"]:
        with story.step("vm-preflight disable vmruntime"):
            done = installed.vm_preflight("disable", "vmruntime")
            assert done.returncode == 0, done.stderr
            until(installed.agents_are_gone, "the agents are gone", seconds=SECONDS)
    return installed


@pytest.fixture
def enabled(installed: EndToEnd, story: Story) -> EndToEnd:
    """The same, enabled, with a check that has passed."""
    if not installed.runtime()["spec"].get("enabled"):
        with story.step("vm-preflight enable vmruntime --wait"):
            done = installed.vm_preflight("enable", "vmruntime", "--wait", "--timeout", "300")
            assert done.returncode == 0, done.stdout + done.stderr
    elif not installed.runtime()["status"]["preflightCheckSummary"].get("preflightCheckPassed"):
        with story.step("vm-preflight check vmruntimepfc"):
            done = installed.vm_preflight("check", "vmruntimepfc", "--timeout", "300")
            assert done.returncode == 0, done.stdout + done.stderr
    return installed


@pytest.fixture(scope="session")
def machine_kinds(installed: EndToEnd) -> Iterator[EndToEnd]:
    """The cluster with kinds of virtual machine, its own or stand-ins, and a namespace to make some in."""
    there = installed.kubectl("get", "crd", "virtualmachines.kubevirt.io", "--ignore-not-found", "-o", "name")
    if not there:
        installed.kubectl("apply", "-f", VIRTUAL_MACHINE_KINDS)
        installed.kubectl("wait", "--for=condition=Established", "-f", VIRTUAL_MACHINE_KINDS)
    installed.kubectl("create", "namespace", MACHINES)
    tried = ("create", "--dry-run=server", "-f", "-")
    until(  # an API server may know the gate's parameters half a minute late: docs/adr/0015
        lambda: "paramKind" not in installed.kubectl.run(*tried, stdin=MACHINE.format(name="tried")).stderr,
        "the gate answers",
        seconds=SECONDS,
    )
    yield installed
    installed.kubectl("delete", "namespace", MACHINES)
    if not there:
        installed.kubectl("delete", "-f", VIRTUAL_MACHINE_KINDS)
