"""``kubectl vm-preflight`` against a real API server and a real controller."""

import json
import os
import pty
import signal
import subprocess
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from faultyapi import FaultyAPI, answer, status
from program import plugin, run
from rights import listed

from cluster.node_preflight import NodeStatus
from cluster.resources import CHECKS, NAMESPACE, NODE_PREFLIGHTS, NODES, SKIP_LABEL
from cluster.shapes import flag
from controller.silence import Patience

HEADER = ["NODE", "VERDICT", "MODE", "FAILED", "REASON", "AGE"]
UNINSTALLED = (
    status(404, "NotFound", "the server could not find the requested resource"),
    answer(404, b"404 page not found\n"),
)
"""The API server's words for a kind that it no longer serves, and for a group that it does not know."""


@pytest.fixture
def call(lab):
    def call(*words, kubeconfig=lab.plane.kubeconfig):
        ended = run([*plugin(*words), "--kubeconfig", str(kubeconfig)])
        return ended.returncode, ended.stdout, ended.stderr

    return call


@pytest.fixture
def checked(lab, call):
    """An enabled VM runtime and three nodes: one passed, one failed, one is skipped."""
    lab.stop()
    lab.add_node("n2", labels={"zone": "b"})
    lab.add_node("n3", labels={SKIP_LABEL: ""})
    lab.start()  # with all nodes in sight: one that is seen after the check's start takes no part in it
    lab.agents.failing = {"n2"}
    lab.enable()
    lab.verdict(passed=False, seconds=60)
    return lab


def rows(out):
    return [line.split() for line in out.splitlines()]


def someone(lab, *, role=""):
    """Returns a kubeconfig of somebody without any right but those of a ClusterRole."""
    name = role or "somebody"
    if role:
        subject = f"--serviceaccount={NAMESPACE}:{name}"
        lab.plane.kubectl("create", "clusterrolebinding", name, f"--clusterrole={role}", subject)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    lab.plane.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(account))
    token = lab.plane.token(name, NAMESPACE)
    if role:  # in force some time after it was granted
        lab.until(
            lambda: "nodepreflights.kubevm.io" in listed(lab.plane, token, NAMESPACE), f"{role}'s rights"
        )
    return lab.plane.kubeconfig_for_token(token, name=name)


def test_a_line_a_node(checked, call):
    ended, out, err = call()
    assert (ended, err) == (0, "")
    header, *nodes = rows(out)
    assert header == HEADER
    assert [one[:5] for one in nodes] == [
        ["n1", "Passed", "Hardware", "<none>", "<none>"],
        ["n2", "Failed", "None", "KVM", "DeviceMissing"],
        ["n3", "Skipped", "<none>", "<none>", "SkipLabel"],
    ]
    assert [one[0] for one in rows(call("nodes", "--no-headers", "-l", "zone=b")[1])] == ["n2"]
    header, first, *_ = rows(call("-o", "wide")[1])
    assert header == [*HEADER, "CHECK", "WARNED", "KERNEL", "AGENT"]
    assert first[6] in checked.checks()


def test_what_a_run_found_while_the_runtime_is_off_is_still_shown(lab, call):
    """The NodePreflights go with the agents; the check keeps what they said."""
    lab.agents.failing = {"n1"}
    assert call("run")[0] == 1
    lab.until(lambda: not lab.names(NODE_PREFLIGHTS), "the NodePreflights are gone", seconds=60)
    assert rows(call()[1])[1][:5] == ["n1", "Failed", "None", "KVM", "DeviceMissing"]
    ended, out, _ = call("explain", "n1")
    assert (ended, out.splitlines()[-2:]) == (1, ["KVM hint: modprobe kvm", "node n1 failed mode=None"])
    reader = someone(lab, role="vm-preflight-view")  # who may not see nodes
    assert rows(call(kubeconfig=reader)[1])[1][:3] == ["n1", "Failed", "None"]
    assert call("explain", "n1", kubeconfig=reader)[1] == out
    assert 'nothing is known of node "n2"' in call("explain", "n2", kubeconfig=reader)[2]


def test_json_and_yaml_are_what_kubectl_get_would_print(checked, call):
    _, out, _ = call("-o", "json")
    theirs = json.loads(checked.plane.kubectl("get", "nodepreflights", "-o", "json"))
    assert json.loads(out) == theirs
    assert yaml.safe_load(call("-o", "yaml")[1]) == theirs


def test_a_node_is_explained_as_the_node_itself_would(checked, call):
    ended, out, err = call("explain", "n2")
    assert (ended, err) == (1, "")
    assert out.splitlines() == [
        "CPU Pass FlagPresent vmx",
        "KVM Fail DeviceMissing /dev/kvm: No such file or directory",
        "KVM hint: modprobe kvm",
        "node n2 failed mode=None",
    ]
    ended, out, _ = call("explain", "n1", "-o", "json")
    report = json.loads(out)
    assert (ended, report["kind"], report["passed"], report["node"]) == (0, "PreflightReport", True, "n1")


def test_why_a_node_has_no_report(lab, call):
    ended, out, err = call("explain", "n1")
    assert (ended, out, err.count("\n")) == (3, "", 1)
    assert "the VM runtime is disabled" in err
    lab.label("n1", skip=True)
    assert f"kubectl label nodes n1 {SKIP_LABEL}-" in call("explain", "n1")[2]
    lab.seen_skipped("n1")
    lab.client.patch(NODES.path("n1"), {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}})
    lab.label("n1", skip=False)
    lab.until(lambda: not lab.status()["lastActedOn"].get("skippedNodes"), "the taint and no label are seen")
    lab.enable()
    lab.until(lambda: lab.daemon_set() and lab.checks(), "the DaemonSet is there")
    ended, out, err = call("explain", "n1")
    assert (ended, out) == (3, "")
    assert "takes no part: the DaemonSet vm-preflight-agent does not fit it" in err
    assert rows(call()[1])[1][:5] == ["n1", "Unknown", "<none>", "<none>", "NotChecked"]


def test_a_silent_node_is_told_from_a_failed_one(lab, call):
    lab.stop()
    lab.start(patience=Patience(answer=timedelta(seconds=2), rollout=timedelta(seconds=2)))
    lab.agents.silent = {"n1"}
    lab.enable()
    lab.verdict(passed=False, seconds=60)
    node = rows(call()[1])[1]
    assert node[1:4] == ["Failed", "<none>", "Agent"]
    ended, out, _ = call("explain", "n1")
    assert ended == 1
    assert out.startswith(f"Agent Unknown {node[4]} no answer in 2 s")
    assert "Agent hint: see " in out
    back = datetime.now(UTC) + timedelta(seconds=5)
    kvm = {"checkName": "KVM", "status": "Pass", "passed": True, "reason": "GuestRan", "message": "ran"}
    own_run = NodeStatus("", True, "Hardware", (kvm,), back, back)
    lab.client.patch(NODE_PREFLIGHTS.path("n1", subresource="status"), {"status": own_run.to_dict()})
    assert rows(call()[1])[1][1] == "Passed"  # its agent is back, and has checked the node by itself
    assert call("explain", "n1")[0] == 0


def test_what_is_not_there_and_what_is_not_known(call):
    ended, out, err = call("explain", "nope")
    assert (ended, out, err) == (1, "", 'Error from server (NotFound): nodes "nope" not found\n')
    assert call("fly")[::2] == (2, "error: unknown command 'fly' (see 'kubectl vm-preflight --help')\n")
    ended, _, err = call("--context", "enable")  # the value of an option is no command
    assert (ended, "there is no context 'enable'" in err) == (2, True)
    assert call("explain", "") == (2, "", "error: NODE is empty: name a node\n")


@pytest.mark.parametrize("said", UNINSTALLED)
def test_a_cluster_without_an_installation(tmp_path, said):
    kubeconfig = tmp_path / "kubeconfig"
    for words in ((), ("explain", "n1"), ("run",)):
        with FaultyAPI([said]) as server:
            kubeconfig.write_text(json.dumps(server_config(server.url)))
            ended = run([*plugin(*words), "--kubeconfig", str(kubeconfig)])
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
        assert ended.stderr.startswith(
            "error: vm-preflight is not installed in this cluster, or not all of it: install it"
        )


def server_config(url):
    return {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (status(401, "Unauthorized", "Unauthorized"), "error: You must be logged in to the server"),
        (
            status(500, "InternalError", "a \x1b[31mred\nline"),
            "Error from server (InternalError): a [31mred line",
        ),
    ],
)
def test_errors_are_worded_as_kubectl_does(tmp_path, answer, told):
    kubeconfig = tmp_path / "kubeconfig"
    with FaultyAPI([answer, answer]) as server:
        kubeconfig.write_text(json.dumps(server_config(server.url)))
        ended = run([*plugin(), "--kubeconfig", str(kubeconfig)])
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith(told)


def test_a_server_that_refuses_connections_is_told_as_kubectl_does(tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(server_config("https://127.0.0.1:1")))
    ended = run([*plugin(), "--kubeconfig", str(kubeconfig)])
    told = "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n"
    assert (ended.returncode, ended.stderr) == (1, told)


def test_who_may_see_nothing_is_told_which_right_is_missing(lab, call):
    ended, out, err = call(kubeconfig=someone(lab))
    assert (ended, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("Error from server (Forbidden): nodepreflights.kubevm.io is forbidden: ")
    assert 'cannot list resource "nodepreflights"' in err


def test_who_may_see_nodepreflights_alone_sees_them(checked, call):
    agent = checked.plane.kubeconfig_for_token(
        checked.plane.token("vm-preflight-agent", NAMESPACE), name="agent"
    )
    ended, out, err = call(kubeconfig=agent)
    assert (ended, [one[:2] for one in rows(out)[1:]]) == (
        0,
        [["n1", "Passed"], ["n2", "Failed"], ["n3", "Skipped"]],
    )
    assert "nodes is forbidden" in err
    assert call("explain", "n1", kubeconfig=agent)[0] == 0


@contextmanager
def begun(lab, *words, stderr=subprocess.PIPE):
    command = [*plugin(*words), "--kubeconfig", str(lab.plane.kubeconfig)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_watching_prints_what_changes_and_outlives_the_api_server(checked, call):
    with begun(checked, "--watch") as watching:

        def line():
            return watching.stdout.readline().split()

        assert [line()[:2] for _ in range(4)] == [
            HEADER[:2],
            ["n1", "Passed"],
            ["n2", "Failed"],
            ["n3", "Skipped"],
        ]
        checked.plane.stop_apiserver()
        away = watching.stderr.readline()
        assert (away[:6], away[-15:]) == ("WATCH ", "; trying again\n")
        checked.plane.start_apiserver()
        assert watching.stderr.readline() == "watching again\n"
        checked.label("n1", skip=True)
        assert line()[:2] == ["n1", "Skipped"]
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=60)
    assert (watching.returncode, out, err) == (130, "", "")


def test_watching_as_json_prints_an_object_each(checked, call):
    with begun(checked, "-w", "-o", "json", "-l", "zone=b") as watching:
        printed = "".join(iter(watching.stdout.readline, "}\n")) + "}"
        watching.terminate()
    assert json.loads(printed)["metadata"]["name"] == "n2"


def test_progress_without_a_terminal_is_lines(lab, call):
    _, out, err = call("run")
    (name,) = lab.checks()
    assert out == f"{name} passed\n  1 of 1 node passed\n"
    first, *more = err.splitlines()
    assert first == f"created {name}, waiting for the nodes to answer"
    assert more[-1] == "1 of 1 node answered"


def test_on_a_terminal_there_is_a_bar_and_ctrl_c_leaves_the_check(lab):
    lab.agents.silent = {"n1"}
    ours, theirs = pty.openpty()
    with begun(lab, "run", stderr=theirs) as running:
        os.close(theirs)
        seen = ""
        while "0 of 1 node answered" not in seen:
            seen += os.read(ours, 1024).decode()
        running.send_signal(signal.SIGINT)
        with suppress(OSError):  # EIO: the other side is closed
            while read := os.read(ours, 1024):
                seen += read.decode()
        assert running.wait(timeout=60) == 130
    os.close(ours)
    (name,) = lab.checks()
    assert f"[{'-' * 24}] 0 of 1 node answered" in seen
    assert f"the check goes on: kubectl get vmruntimepfc -n {NAMESPACE} {name}" in seen
    assert "Traceback" not in seen
    assert not lab.check(name).get("completionTime")
    lab.delete(CHECKS, name, namespace=NAMESPACE)


def test_the_switch(lab, call):
    assert call("enable", "--wait")[0] == 0
    assert call("enable")[::2] == (1, "error: the VM runtime is already enabled\n")
    assert call("disable")[:2] == (0, "VM runtime disabled.\n")
    assert not flag(lab.status(), "enabled")


def on_terminal(lab, **variables):
    """Returns what a person sees: both streams are one terminal."""
    ours, theirs = pty.openpty()
    command = [*plugin(), "--kubeconfig", str(lab.plane.kubeconfig)]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, **variables}) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # EIO: the other side is closed
            while read := os.read(ours, 4096):
                seen += read
    os.close(ours)
    assert process.returncode == 0
    return seen.decode().splitlines()


def test_on_a_terminal_there_is_colour_and_what_follows_for_virtual_machines(checked):
    header, n1, n2, n3, blank, *told = on_terminal(checked, NO_COLOR="")
    assert (header.split(), blank) == (HEADER, "")
    assert "\033[32mPassed\033[0m    Hardware" in n1
    assert "\033[31mFailed\033[0m " in n2
    assert "\033[2mSkipped\033[0m " in n3
    assert told[0] == "3 nodes: 1 passed, 1 failed, 1 skipped."
    assert told[1].startswith("VMs are refused: vmruntime-preflight-check-")
    assert told[1].endswith(" ago (KVM).")
    assert told[2:] == ["Why, and what to do: kubectl vm-preflight explain n2"]
    assert "\033" not in "".join(on_terminal(checked, NO_COLOR="1"))
