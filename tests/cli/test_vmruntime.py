"""The cluster verbs against a real API server and a real controller, and what becomes of virtual machines."""

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import vmkinds
from faultyapi import FaultyAPI, status
from program import command, vm_preflight
from waiting import until

from cli.vmruntimepfc import why_unfinished
from cluster.resources import (
    CHECKS,
    DISABLING_ANNOTATION,
    FORCE_DISABLE_ANNOTATION,
    NAMESPACE,
    VIRTUAL_MACHINES,
    VM_RUNTIME_NAME,
    VM_RUNTIMES,
)
from cluster.shapes import flag, mapping, text

KUBEVIRT, INSTANCE, GKE = VIRTUAL_MACHINES


@pytest.fixture
def run(lab):
    def call(*words, timeout="60", kubeconfig=lab.plane.kubeconfig):
        ended = vm_preflight(*words, "--kubeconfig", str(kubeconfig), "--timeout", timeout)
        return ended.returncode, ended.stdout, ended.stderr

    return call


def enabled(lab):
    return flag(lab.runtime(), "spec", "enabled")


def annotate(lab, value):
    lab.client.patch(
        VM_RUNTIMES.path(VM_RUNTIME_NAME), {"metadata": {"annotations": {FORCE_DISABLE_ANNOTATION: value}}}
    )


def machines(lab):
    return {name for kind in VIRTUAL_MACHINES for name in lab.names(kind, namespace="default")}


def switched_on(lab):
    lab.enable()
    lab.verdict(passed=True)


def test_enable_waits_for_the_verdict(lab, run):
    status, out, _ = run("enable", "vmruntime", "--wait")
    assert status == 0
    assert out.splitlines()[-1] == f"{text(lab.summary(), 'lastCompleted', 'name')} passed"


def test_enable_waits_for_a_verdict_that_is_no(lab, run):
    lab.agents.failing = {"n1"}
    status, out, err = run("enable", "vmruntime", "--wait")
    name, told = out.splitlines()[-1].split()
    assert (status, told) == (1, "failed")
    assert err == f"see why: kubectl get vmruntimepfc -n vm-system {name} -o yaml\n"


def test_enable_without_an_answer_in_time_is_status_3(lab, run):
    lab.agents.silent = {"n1"}
    status, _, err = run("enable", "vmruntime", "--wait", timeout="1")
    assert status == 3
    assert "no verdict after 1 s" in err


def test_the_command_finishes_what_was_begun_through_the_resource(lab, run):
    switched_on(lab)
    vmkinds.add_once_open(lab.client, KUBEVIRT, "precious")
    lab.enable(enabled=False)
    until(lambda: lab.condition("DisableBlocked").get("reason") == "VMsProtected" or None, "protected")
    assert "vm-preflight disable vmruntime --force=true" in lab.condition("DisableBlocked")["message"]
    status, _, err = run("disable", "vmruntime")
    assert (status, machines(lab)) == (1, {"precious"})
    assert "default/precious" in err
    status, out, err = run("disable", "vmruntime", "--force=true")
    assert (status, out) == (0, "VM runtime disabled.\n"), err
    assert machines(lab) == set()
    assert not flag(lab.status(), "enabled")


@pytest.mark.parametrize("word", ["maybe", "", "yes"])
def test_force_takes_true_and_false_alone(lab, run, word):
    switched_on(lab)
    status, out, err = run("disable", "vmruntime", f"--force={word}")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"{word!r} is neither true nor false" in err
    assert enabled(lab)


def test_without_the_option_the_environment_names_the_cluster(lab):
    ended = vm_preflight("enable", "vmruntime", KUBECONFIG=str(lab.plane.kubeconfig))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert enabled(lab)
    nowhere = vm_preflight("disable", "vmruntime", KUBECONFIG="/no/such/file")
    assert (nowhere.returncode, nowhere.stdout, nowhere.stderr.count("\n")) == (2, "", 1)
    assert "/no/such/file" in nowhere.stderr


def test_with_the_annotation_and_no_terminal_the_command_says_what_to_pass(lab, run):
    switched_on(lab)
    annotate(lab, "true")
    vmkinds.add_once_open(lab.client, GKE, "precious")
    status, _, err = run("disable", "vmruntime")
    assert status == 1
    assert "no terminal to ask on: pass --force=true" in err
    assert machines(lab) == {"precious"}
    assert enabled(lab)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_disabling_leaves_the_runtime_enabled(lab, run, number):
    switched_on(lab)
    vmkinds.add_once_open(lab.client, KUBEVIRT, "slow", finalizers=["example.com/held"])
    words = command("disable", "vmruntime", "--force", "--kubeconfig", str(lab.plane.kubeconfig))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ended:
        assert ended.stderr is not None
        assert ended.stderr.readline().startswith("deleting 1 virtual machine")
        assert mapping(lab.runtime(), "metadata", "annotations").get(DISABLING_ANNOTATION) == "true"
        ended.send_signal(number)
        _, err = ended.communicate(timeout=60)
    assert ended.returncode == 130
    assert err == "given up: the VM runtime stays enabled\n"
    assert enabled(lab)
    assert DISABLING_ANNOTATION not in mapping(lab.runtime(), "metadata", "annotations")
    lab.client.patch(KUBEVIRT.path("slow", namespace="default"), {"metadata": {"finalizers": None}})


def test_a_disabling_that_was_killed_is_told_with_the_way_out(lab, run):
    switched_on(lab)
    path = VM_RUNTIMES.path(VM_RUNTIME_NAME)
    lab.client.patch(path, {"metadata": {"annotations": {DISABLING_ANNOTATION: "true"}}})
    way_out = f"kubectl annotate vmruntime {VM_RUNTIME_NAME} {DISABLING_ANNOTATION}-"
    status, _, err = run("enable", "vmruntime")
    assert (status, err.count("\n")) == (1, 1)
    assert "already enabled; it takes no new virtual machines" in err
    assert err.endswith(f"{way_out}\n")
    until(lambda: way_out in text(lab.condition("DisableBlocked"), "message") or None, "a condition says so")


def test_a_check_in_a_cluster_without_an_installation_is_one_line(tmp_path):
    with FaultyAPI([status(404, "NotFound", "the server could not find the requested resource")]) as server:
        kubeconfig = tmp_path / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": server.url}}
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        user = {"name": "u", "user": {"token": "t"}}
        parts = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"}
        kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **parts}))
        ended = vm_preflight("check", "vmruntimepfc", "--kubeconfig", str(kubeconfig))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "install it (kubectl apply -k deploy)" in ended.stderr


def test_a_check_without_a_verdict_in_time_is_status_3(lab, run):
    lab.agents.silent = {"n1"}
    status, out, err = run("check", "vmruntimepfc", timeout="1")
    assert (status, out) == (3, "")
    assert "no verdict after 1 s" in err


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({}, "nobody has picked it up; is the controller running? kubectl get pods -n vm-system"),
        (
            {"startTime": "2026-01-01T00:00:00Z", "checks": {"n1": {}}},
            "0 of 1 node answered; it goes on: look",
        ),
    ],
)
def test_what_a_check_without_a_verdict_waits_for(status, told):
    assert why_unfinished({"status": status}, "look") == told


def begun(lab):
    """Starts a check whose node is silent; returns the process and the check's name once it runs."""
    lab.agents.silent = {"n1"}
    words = command("check", "vmruntimepfc", "--kubeconfig", str(lab.plane.kubeconfig))
    waiting = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert waiting.stderr is not None
    name = waiting.stderr.readline().removeprefix("created ").partition(",")[0]
    until(lambda: lab.check(name).get("startTime"), "the check runs")
    return waiting, name


def test_a_check_that_somebody_deletes_is_one_line(lab):
    waiting, name = begun(lab)
    lab.delete(CHECKS, name, namespace=NAMESPACE)
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (1, "")
    assert err.splitlines()[-1] == f"vm-preflight check: {name} was deleted before it had a verdict"


def test_an_api_server_that_goes_away_while_a_check_is_waited_for(lab):
    waiting, name = begun(lab)
    lab.plane.stop_apiserver()
    assert waiting.stderr is not None
    told = ""
    while waiting.poll() is None and not told.endswith("; trying again\n"):  # progress may come before
        told = waiting.stderr.readline()
    lab.plane.start_apiserver()
    lab.agents.speak("n1")
    out, _ = waiting.communicate(timeout=60)
    assert told.endswith("; trying again\n")
    assert (waiting.returncode, out) == (0, f"{name} passed\n  1 of 1 node passed\n")


def test_without_an_installation_the_message_says_so(lab, run):
    lab.stop()
    lab.delete(VM_RUNTIMES, VM_RUNTIME_NAME)
    until(lambda: not lab.runtime() or None, "the VMRuntime is gone")
    for verb in ("enable", "disable"):
        status, _, err = run(verb, "vmruntime")
        assert status == 1
        assert "kubectl apply -k deploy" in err


def test_an_api_server_that_does_not_answer_is_one_line(lab, run, tmp_path):
    nobody = tmp_path / "kubeconfig"
    nobody.write_text(lab.plane.kubeconfig.read_text().replace(lab.plane.server, "https://127.0.0.1:1"))
    verbs = (("enable", "vmruntime"), ("disable", "vmruntime"), ("check", "vmruntimepfc"))
    with ThreadPoolExecutor() as at_once:  # each tries for some seconds
        for status, out, err in at_once.map(lambda words: run(*words, kubeconfig=nobody), verbs):
            assert (status, out, err.count("\n")) == (1, "", 1)
            assert "127.0.0.1" in err


def test_a_check_that_may_not_be_created_is_one_line(lab, run):
    token = lab.plane.token("vm-preflight-agent", NAMESPACE)
    status, out, err = run(
        "check", "vmruntimepfc", kubeconfig=lab.plane.kubeconfig_for_token(token, name="agent")
    )
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "forbidden" in err.lower()
    assert lab.names(CHECKS, namespace=NAMESPACE) == set()
