"""The program as a person starts it: words in; exit status, standard output and standard error out."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from program import command, vm_preflight

from cli.main import COMMANDS

HOSTS = Path(__file__).parents[1] / "hosts"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    ended = vm_preflight(name, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"vm-preflight {name}" in ended.stdout


def test_help_lists_every_command():
    ended = vm_preflight("--help")
    assert ended.returncode == 0
    assert all(f"  {name} " in ended.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fly"], "unknown command 'fly'"),
        (["run", "--fast"], "unrecognized arguments: --fast"),
        (["run", "-o", "xml"], "'xml' is not one of text, json, yaml, junit"),
        (["run", "--timeout", "soon"], "'soon' is no duration"),
        (["run", "--only", "Bogus"], "--only Bogus: no such check"),
        (["run", "--ignore", "Bogus"], "--ignore Bogus: no such check"),
        (["run", "--host-root", "/nowhere"], "--host-root /nowhere: no such directory"),
        (["run", "--config", "/nowhere.toml"], "/nowhere.toml"),
        (["checks"], "say 'list' or 'explain NAME'"),
        (["checks", "explain", "Bogus"], "Bogus: no such check"),
        (["probe", "--listen", ":1"], "unrecognized arguments: --listen"),
        (["agent", "--listen", "nonsense"], "'nonsense' is no address"),
        (["agent"], "name this node with --node or $NODE_NAME"),
        (["controller", "--kubeconfig", "/nowhere"], "/nowhere"),
        (["controller"], "in a pod"),
        (["enable"], "say 'enable vmruntime'"),
        (["disable", "vmruntime", "--force=perhaps"], "'perhaps' is neither true nor false"),
        (["check", "vmruntimepfc", "--kubeconfig", "/nowhere"], "/nowhere"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line_that_names_it(words, told):
    ended = vm_preflight(*words, NODE_NAME="")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert told in ended.stderr


def test_a_wrong_key_in_the_configuration_is_named(tmp_path):
    file = tmp_path / "preflight.toml"
    file.write_text("[checks.Memory]\nminimum = 1\n")
    ended = vm_preflight("run", "--config", str(file))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert str(file) in ended.stderr
    assert "checks.Memory.minimum" in ended.stderr


def test_a_report_is_the_same_in_json_and_yaml():
    ended = vm_preflight("run", "--host-root", str(HOSTS / "intel"), "-o", "json")
    report = json.loads(ended.stdout)
    assert (report["apiVersion"], report["kind"]) == ("kubevm.io/v1alpha1", "PreflightReport")
    assert ended.returncode == (0 if report["passed"] else 1)
    other = yaml.safe_load(vm_preflight("run", "--host-root", str(HOSTS / "intel"), "-o", "yaml").stdout)
    assert other.keys() == report.keys()
    assert [one["reason"] for one in other["results"]] == [one["reason"] for one in report["results"]]


def test_firmware_that_switched_virtualization_off_is_named():
    ended = vm_preflight("run", "--host-root", str(HOSTS / "bios-off"))
    assert ended.returncode == 1
    assert ended.stdout.startswith("KVM Fail DisabledByFirmware ")
    assert "KVM hint: " in ended.stdout


def test_emulation_lets_a_node_without_kvm_pass():
    ended = vm_preflight(
        "run", "--host-root", str(HOSTS / "bios-off"), "--use-emulation", "--only", "KVM,Emulation"
    )
    assert ended.returncode == 0
    assert ended.stdout.startswith("KVM Warn DisabledByFirmware ")
    assert ended.stdout.splitlines()[-1].endswith("passed mode=Emulation")


def test_only_and_ignore():
    ended = vm_preflight("run", "--host-root", str(HOSTS / "bios-off"), "--only", "KVM", "--ignore", "KVM")
    assert ended.returncode == 0
    assert next(line.split()[:3] for line in ended.stdout.splitlines()) == [
        "KVM",
        "Warn",
        "DisabledByFirmware",
    ]
    assert ended.stdout.splitlines()[-1].endswith("passed mode=None")


def test_options_from_the_environment():
    ended = vm_preflight(
        "run",
        VM_PREFLIGHT_HOST_ROOT=str(HOSTS / "bios-off"),
        VM_PREFLIGHT_ONLY="KVM",
        VM_PREFLIGHT_OUTPUT="json",
    )
    assert [one["reason"] for one in json.loads(ended.stdout)["results"]] == ["DisabledByFirmware"]


def test_a_closed_pipe_is_no_traceback():
    piped = f"{' '.join(command('run', '-o', 'json'))} | true"
    ended = subprocess.run(["sh", "-c", piped], capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in ended.stderr


def test_checks_are_listed_and_explained():
    listed = json.loads(vm_preflight("checks", "list", "-o", "json").stdout)
    names = [one["name"] for one in listed]
    assert {"KVM", "CPU", "Emulation", "KVMModules", "Tun", "VhostNet", "Memory"} <= set(names)
    for check in listed:
        explained = vm_preflight("checks", "explain", check["name"]).stdout
        assert explained.startswith(f"{check['name']}: {check['question']}")
        assert all(one["reason"] in explained for one in check["reasons"])
        assert all(one.get("hint") for one in check["reasons"] if one["status"] in ("Fail", "Unknown"))


def test_the_version_is_the_distributions():
    from importlib.metadata import version

    assert vm_preflight("version").stdout.startswith(f"vm-preflight {version('vm-preflight')} ")
