"""Watches that are cut, fall silent, or whose place is lost, while a check runs: the controller's."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from controllerlab import ControllerLab
from faultyproxy import GONE, Call, Fault, FaultyProxy, Watch, status
from waiting import until
from witness import Expected, Witness

from cluster import shapes
from cluster.informer import Informer
from cluster.resources import NAMESPACE, NODE_PREFLIGHTS, NODES, PODS
from cluster.transport import Client
from controller.silence import Patience

PLURALS = {"vmruntimes", "vmruntimepreflightchecks", "nodepreflights", "daemonsets", "nodes", "pods"}
SILENCE_SECONDS = 3.0
"""Patience with a silent watch, in place of 90 s: the API server's bookmarks come every minute."""

SHORTLY = Patience(answer=timedelta(seconds=1), rollout=timedelta(seconds=1))
"""Of a controller that asks once more before it judges, long before it notices that a watch is silent."""


@pytest.fixture
def running(lab: ControllerLab, proxy: FaultyProxy) -> ControllerLab:
    """A check runs; one node has answered, the other has not."""
    lab.add_node("w1")
    lab.add_node("w2")
    lab.agents.silent = {"w2"}
    lab.start(client=Client(lab.credentials(proxy.url)))
    lab.installed()
    lab.enable()
    lab.until(lambda: "w1" in {node for _, node in lab.agents.answered}, "half of the nodes answered")
    until(
        lambda: {watch.call.path.split("/")[-1] for watch in proxy.watches()} == PLURALS,
        "its watches",
        seconds=60,
    )
    return lab


def freeze(watch: Watch) -> None:
    watch.frozen.set()


@pytest.mark.parametrize(
    "spoil",
    [Watch.reset, Watch.cut, lambda watch: watch.fail(GONE), lambda watch: watch.fail(b"]junk[\n"), freeze],
    ids=["reset", "cut", "gone", "junk", "half-open"],
)
def test_every_watch_is_spoilt_in_the_middle_of_a_run(
    running: ControllerLab,
    witness: Witness,
    proxy: FaultyProxy,
    spoil: Callable[[Watch], None],
):
    spoilt = proxy.watches()
    for watch in spoilt:
        spoil(watch)
    running.agents.speak("w2")
    until(lambda: any(node == "w2" for _, node in running.agents.answered), "the answer", seconds=60)
    if spoil is freeze:  # found out after a minute and a half; TCP finds a dead peer out after one
        for watch in spoilt:
            watch.reset()
    running.verdict(passed=True, seconds=60)
    witness.judge(Expected("Enabled", passed=True), enabled=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Informers that give a silent stream up after seconds."""
    defaults = Informer.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "read_timeout", SILENCE_SECONDS)


@pytest.mark.usefixtures("impatient")
def test_half_open_watches_are_given_up_by_themselves(
    running: ControllerLab, witness: Witness, proxy: FaultyProxy
):
    for watch in proxy.watches():
        watch.frozen.set()
    running.agents.speak("w2")
    running.verdict(passed=True, seconds=60)
    witness.judge(Expected("Enabled", passed=True), enabled=True)


def answered(lab: ControllerLab) -> None:
    until(lambda: bool(lab.agents.answered), "it answers")


class LastMoment:
    """A watch falls silent, and something happens, right before it is asked who is silent."""

    def __init__(self, proxy: FaultyProxy, path: str, happens: Callable[[], None]) -> None:
        self._proxy = proxy
        self._path = path
        self._happens = happens
        self._lists = 0
        self._lock = threading.Lock()
        self._silent: list[Watch] = []
        proxy.rules = [self]

    def __call__(self, call: Call) -> None:
        if call.watches or call.path != NODES.path():
            return
        with self._lock:  # who asks again meanwhile is told what has happened
            self._lists += 1
            if self._lists == 2:  # the first one fills a cache, the next one comes before a verdict
                self._silent = until(lambda: self._proxy.watches(self._path) or None, "the watch is open")
                for watch in self._silent:
                    watch.frozen.set()
                self._happens()

    def end(self) -> None:
        """The watches that fell silent are found out."""
        assert self._silent
        for watch in self._silent:
            watch.reset()


def test_nobody_is_given_up_whom_a_silent_watch_has_never_shown(
    lab: ControllerLab, witness: Witness, proxy: FaultyProxy
):
    lab.add_node("w1")
    moment = LastMoment(proxy, NODE_PREFLIGHTS.path(), lambda: answered(lab))
    lab.start(client=Client(lab.credentials(proxy.url)), patience=SHORTLY)
    lab.installed()
    for watch in until(lambda: proxy.watches(NODE_PREFLIGHTS.plural) or None, "the watch is open"):
        watch.frozen.set()
    lab.enable()
    lab.verdict(passed=True, seconds=60)
    moment.end()
    witness.judge(Expected("Enabled", passed=True), enabled=True)


def restart(lab: ControllerLab, proxy: FaultyProxy, patience: Patience) -> None:
    """Another controller goes on, through the proxy."""
    lab.stop()
    lab.start(client=Client(lab.credentials(proxy.url)), patience=patience)


def test_nobody_is_given_up_whose_answer_a_silent_watch_withholds(
    lab: ControllerLab, witness: Witness, proxy: FaultyProxy
):
    lab.add_node("w1")
    lab.agents.silent = {"w1"}
    lab.start()
    lab.installed()
    lab.enable()
    lab.until(lambda: lab.names(NODE_PREFLIGHTS), "the node is asked", seconds=60)

    def answer() -> None:
        lab.agents.speak("w1")
        answered(lab)

    moment = LastMoment(proxy, NODE_PREFLIGHTS.path(), answer)
    restart(lab, proxy, SHORTLY)
    lab.verdict(passed=True, seconds=60)
    moment.end()
    witness.judge(Expected("Enabled", passed=True), enabled=True)


@pytest.mark.parametrize("goes", ["deleted", "labelled"])
def test_nobody_fails_whose_leaving_a_silent_watch_withholds(
    lab: ControllerLab, witness: Witness, proxy: FaultyProxy, goes: str
):
    lab.add_node("w1")
    lab.add_node("w2")
    lab.agents.silent = {"w2"}
    lab.start()
    lab.installed()
    lab.enable()
    lab.until(lambda: lab.agents.answered, "the other one answers", seconds=60)

    def leave() -> None:
        if goes == "deleted":
            lab.delete(NODES, "w2")
        else:
            lab.label("w2", skip=True)

    moment = LastMoment(proxy, NODES.path(), leave)
    restart(lab, proxy, SHORTLY)
    name = lab.verdict(passed=True, seconds=60)
    assert set(shapes.mapping(lab.check(name), "checks")) == {"w1"}
    moment.end()
    witness.judge(Expected("Enabled", passed=True), enabled=True)


def test_nobody_fails_whose_label_a_silent_watch_withholds(
    lab: ControllerLab, witness: Witness, proxy: FaultyProxy
):
    """It was labelled, and answers all the same that it cannot run a VM."""
    lab.add_node("w1")
    lab.add_node("w2")
    lab.agents.failing = {"w2"}
    lab.agents.silent = {"w2"}
    lab.start(client=Client(lab.credentials(proxy.url)))
    lab.installed()
    lab.enable()
    lab.until(lambda: lab.agents.answered, "the other one answers", seconds=60)
    silent = until(lambda: proxy.watches(NODES.path()) or None, "the watch is open")
    for watch in silent:
        watch.frozen.set()
    lab.label("w2", skip=True)
    lab.agents.speak("w2")
    name = lab.verdict(passed=True, seconds=60)
    assert set(shapes.mapping(lab.check(name), "checks")) == {"w1"}
    for watch in silent:
        watch.reset()
    witness.judge(Expected("Enabled", passed=True), enabled=True)


def test_a_node_is_waited_for_whose_pod_a_silent_watch_withholds(
    lab: ControllerLab, witness: Witness, proxy: FaultyProxy
):
    """For all that the controller sees its pod runs and is not ready; but it is still to be made."""
    soon = timedelta(seconds=0.2)
    lab.add_node("w1")
    lab.agents.silent = {"w1"}
    lab.start(patience=Patience(progress=soon))
    lab.installed()
    lab.enable()
    lab.until(lambda: lab.pods() and lab.names(NODE_PREFLIGHTS), "its pod is there", seconds=60)
    (pod,) = lab.pods()
    path = PODS.path(shapes.text(pod, "metadata", "name"), namespace=NAMESPACE, subresource="status")

    def become(phase: str) -> None:
        lab.client.patch(path, {"status": {"phase": phase}})

    def shown(reason: str) -> bool:
        return f"is not ready ({reason})" in shapes.text(lab.condition("Ready"), "message")

    become("Running")
    lab.until(lambda: shown("NotReady"), "the controller sees it run", seconds=60)
    moment = LastMoment(proxy, PODS.plural, lambda: become("Pending"))
    patience = Patience(answer=timedelta(seconds=1), rollout=timedelta(seconds=100), progress=soon)
    restart(lab, proxy, patience)
    lab.until(lambda: shown("Pending"), "the controller knows that it does not", seconds=60)
    lab.agents.speak("w1")
    lab.verdict(passed=True, seconds=60)
    moment.end()
    witness.judge(Expected("Enabled", passed=True), enabled=True)


def test_a_place_that_is_lost_while_nobody_listens(
    running: ControllerLab, witness: Witness, proxy: FaultyProxy
):
    """410 as the status of the answer to a watch, and to the next page of a list."""
    gone = threading.Semaphore(0)

    def rule(call: Call) -> Fault | None:
        resumes = call.watches and call.query.get("resourceVersion") not in ("", "0") and call not in listed
        if not (resumes or call.query.get("continue")):
            return None
        listed.append(call)
        gone.release()
        return status(410, "Expired") if len(listed) <= len(PLURALS) else None

    listed: list[Call] = []
    proxy.rules = [rule]
    for watch in proxy.watches():
        watch.reset()
    for _ in PLURALS:
        assert gone.acquire(timeout=60)
    running.agents.speak("w2")
    running.verdict(passed=True, seconds=60)
    witness.judge(Expected("Enabled", passed=True), enabled=True)


def test_what_the_controller_keeps_is_bounded(running: ControllerLab, proxy: FaultyProxy):
    """Of namespaced kinds its own namespace alone, of DaemonSets one; of objects what decisions need."""
    listed = {
        (call.path, call.query.get("fieldSelector", "")) for call in proxy.calls if "limit" in call.query
    }
    assert listed == {
        ("/apis/vm.cluster.gke.io/v1/vmruntimes", ""),
        ("/apis/vm.cluster.gke.io/v1/namespaces/vm-system/vmruntimepreflightchecks", ""),
        ("/apis/kubevm.io/v1alpha1/nodepreflights", ""),
        ("/apis/apps/v1/namespaces/vm-system/daemonsets", "metadata.name=vm-preflight-agent"),
        ("/api/v1/nodes", ""),
        ("/api/v1/namespaces/vm-system/pods", ""),
    }
    assert shapes.text(running.summary(), "preflightCheckName")


def test_bookmarks_are_not_needed(lab: ControllerLab, witness: Witness, proxy: FaultyProxy):
    """An API server that sends none: a watch is resumed from its last event."""

    def rule(call: Call) -> Fault | None:
        if not call.watches:
            return None
        return lambda exchange: exchange.watch(without=b'"type":"BOOKMARK"')

    proxy.rules = [rule]
    lab.add_node("w1")
    lab.start(client=Client(lab.credentials(proxy.url)))
    lab.installed()
    lab.enable()
    lab.verdict(passed=True, seconds=60)
    for watch in proxy.watches():
        watch.reset()
    lab.ask("after")
    lab.until(lambda: lab.check("after").get("pass") is True, "the next verdict", seconds=60)
    witness.judge(Expected("Enabled", passed=True), Expected("Requested", passed=True), enabled=True)
