"""The program as a person starts it: words in; exit status, standard output and standard error out."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from program import command, vm_preflight

from cli.main import COMMANDS, DAEMONS

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
        ([], "name a command: run, checks, "),
        (["fly"], "unknown command 'fly'"),
        (["run", "--fast"], "unrecognized arguments: --fast"),
        (["run", "-o", "xml"], "'xml' is not one of text, json, yaml, junit"),
        (["run", "--timeout", "soon"], "'soon' is no duration"),
        (["run", "--only", "Bogus"], "--only Bogus: no such check"),
        (["run", "--ignore", "Bogus"], "--ignore Bogus: no such check"),
        (["run", "--host-root", "/nowhere"], "--host-root /nowhere: no such directory"),
        (["probe", "--host-root", "/nowhere"], "--host-root /nowhere: no such directory"),
        (["probe", "--socket", "fd:x"], "socket fd:x: "),
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


@pytest.mark.parametrize("daemon", ["agent", "controller"])
def test_an_authority_that_is_no_certificate_is_named(daemon, tmp_path):
    (tmp_path / "ca.crt").write_text("not a certificate\n")
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority": str(tmp_path / "ca.crt")}
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    ended = vm_preflight(daemon, "--kubeconfig", str(tmp_path / "kubeconfig"), NODE_NAME="n1")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert f"{tmp_path / 'ca.crt'}: not usable as certificate authority" in ended.stderr


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


@pytest.mark.parametrize(
    ("cpuinfo", "architecture"),
    [
        ("processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n", "aarch64"),
        ("vendor_id       : IBM/S390\nfeatures\t: esan3 zarch sie\n", "s390x"),
        ("", ""),
    ],
)
def test_a_captured_machine_is_not_said_to_be_of_our_own_kind(tmp_path, cpuinfo, architecture):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    ended = vm_preflight("run", "--host-root", str(tmp_path), "--only", "CPU", "-o", "json")
    report = json.loads(ended.stdout)
    assert (report["architecture"], report["kernelVersion"]) == (architecture, "")


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


@pytest.mark.parametrize(("host", "status"), [("bios-off", 1), ("intel", 0)])
def test_a_reader_that_has_seen_enough_changes_nothing_of_the_verdict(host, status):
    reader, writer = os.pipe()
    os.close(reader)
    # The others ask for devices, which a captured tree has none of.
    words = ("run", "--host-root", str(HOSTS / host), "--only", "CPU,Memory", "-o", "json")
    ended = subprocess.run(
        command(*words), stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (status, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize(
    ("words", "status"), [(["run"], 2), (["run", "-o", "json"], 2), (["checks", "list"], 1), (["--help"], 1)]
)
def test_output_that_cannot_be_written_is_one_line_and_never_a_pass(words, status):
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command(*words), stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert ended.returncode == status
    assert ended.stderr.count("\n") == 1
    assert "No space left on device" in ended.stderr


def test_without_standard_output_the_status_tells():
    words = command("run", "--only", "Memory", "--host-root", str(HOSTS / "intel"))
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *words],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("form", ["json", "yaml", "junit"])
def test_what_machines_read_is_utf8_whatever_the_locale(form, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("größe\n")
    words = command("run", "--only", "CPU", "-o", form, "--host-root", str(tmp_path))
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run(words, capture_output=True, check=False, timeout=60, env=environment)
    assert "größe" in ended.stdout.decode("utf-8")


def on_a_terminal(*words, **variables):
    """Runs the program on a terminal and returns what it shows there."""
    shown, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", **variables}
    subprocess.run(
        command(*words), stdout=terminal, stdin=subprocess.DEVNULL, check=False, timeout=60, env=environment
    )
    os.close(terminal)
    text = b""
    with open(shown, "rb", buffering=0) as file, contextlib.suppress(OSError):  # EIO at the end (pty(7))
        while chunk := file.read(4096):
            text += chunk
    return text.decode()


WORDS = ("run", "--host-root", str(HOSTS / "bios-off"))


@pytest.mark.parametrize(("value", "coloured"), [("1", False), ("", True)])
def test_colour_on_a_terminal_is_asked_off_by_no_color(value, coloured):
    assert ("\033[" in on_a_terminal(*WORDS, NO_COLOR=value)) is coloured


def test_a_terminal_without_unicode_is_written_to_all_the_same():
    shown = on_a_terminal(*WORDS, NO_COLOR="1", PYTHONIOENCODING="ascii")
    assert "\\u2718 Fail    KVM" in shown
    assert "No: " in shown


@pytest.mark.parametrize(
    ("number", "daemon", "status"),
    [*((signal.SIGTERM, daemon, 0) for daemon in DAEMONS), (signal.SIGHUP, "agent", 7)],
)
def test_a_daemon_that_is_still_loading_obeys_signals(number, daemon, status):
    program = (
        "import os, sys; from cli import main; number = int(sys.argv[2]); del sys.argv[2:]; "
        "main.import_module = lambda name: (os.kill(os.getpid(), number), os._exit(7)); main.entry()"
    )
    ended = subprocess.run([sys.executable, "-c", program, daemon, str(int(number))], check=False, timeout=60)
    assert ended.returncode == status


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
