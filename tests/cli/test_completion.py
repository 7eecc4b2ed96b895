"""Completion, asked by the shells themselves and by kubectl's own ``__complete``."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import toolchain
from program import vm_preflight

from cli.completing import WORDS, joined, offered
from cli.completion import SCRIPTS
from cli.kubectl import KUBECTL
from cli.main import VM_PREFLIGHT

BIN = Path(sys.executable).parent


def asked(*words):
    ended = vm_preflight("__complete", *words)
    assert (ended.returncode, ended.stderr) == (0, "")
    *lines, directive = ended.stdout.splitlines()
    return [line.partition("\t")[0] for line in lines], directive


@pytest.mark.parametrize("program", [VM_PREFLIGHT, KUBECTL], ids=lambda program: program.name)
def test_every_command_tells_its_options(program):
    for name in program.commands:
        words = ["list"] if name == "checks" else WORDS.get(name, ())[:1] if program is VM_PREFLIGHT else []
        options = {one.name for one in offered(program, name, words)}
        assert options or name in ("version", "completion"), name


@pytest.mark.parametrize(
    ("words", "offered", "directive"),
    [
        (("",), set(VM_PREFLIGHT.commands), ":4"),
        (("che",), {"checks", "check"}, ":4"),
        (("run", "--us"), {"--use-emulation"}, ":4"),
        (("run", "-o", ""), {"text", "json", "yaml", "junit"}, ":4"),
        (("run", "--output=y"), {"yaml"}, ":4"),
        (("run", "--output", "=", "y"), {"yaml"}, ":4"),
        (("run", "--config", ""), set(), ":0"),
        (("run", "--host-root", ""), set(), ":16"),
        (("run", "--only", "KVM,Vhost"), {"KVM,VhostNet", "KVM,VhostVsock"}, ":4"),
        (("run", "x", ""), set(), ":4"),
        (("checks", ""), {"list", "explain"}, ":4"),
        (("checks", "explain", "Tu"), {"Tun"}, ":4"),
        (("checks", "explain", "Tun", ""), set(), ":4"),
        (("enable", ""), {"vmruntime"}, ":4"),
        (("enable", "vmruntime", "--wa"), {"--wait"}, ":4"),
        (("completion", ""), set(SCRIPTS), ":4"),
        (("fly", ""), set(), ":4"),
        ((), set(VM_PREFLIGHT.commands), ":4"),
    ],
)
def test_how_a_word_can_go_on(words, offered, directive):
    found, told = asked(*words)
    assert (set(found), told) == (offered, directive)


def test_words_that_bash_breaks_are_joined():
    assert joined(["--a", "=", "b", "=", "c", "d"]) == ["--a=b=c", "d"]
    assert joined(["=", "a", "-o", "=", "b"]) == ["=", "a", "-o", "=", "b"]


def test_another_shell_is_named():
    ended = vm_preflight("completion", "ksh")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "'ksh' is not one of bash, zsh, fish" in ended.stderr


@pytest.fixture
def shell(tmp_path):
    """Runs a script in a shell that has our completion and programs; returns the lines that it printed."""
    if not (BIN / "vm-preflight").exists():
        pytest.skip("vm-preflight is not installed beside this Python")

    def shell(name, *options, script):
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"{name} is not installed")
        (tmp_path / "completion").write_text(SCRIPTS[name])
        ended = subprocess.run(
            [program, *options, "-c", script],
            env=surroundings(tmp_path),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.stderr == ""
        return ended.stdout.splitlines()

    return shell


def surroundings(home):
    return {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(home), "TERM": "xterm"}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("vm-preflight che", ["checks", "check"]),
        ("vm-preflight run --output = j", ["json", "junit"]),
        ("vm-preflight checks explain HostC", ["HostCPUModel"]),
        ("vm-preflight run --config ''", []),
    ],
)
def test_bash(shell, words, offered):
    script = f"""
        . ./completion
        compopt() {{ echo "$@"; }}  # outside of a completion it is an error
        COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _vm_preflight
        printf '%s\\n' "${{COMPREPLY[@]:-}}"
        complete -p vm-preflight
    """
    files = ["-o default", ""] if not offered else []
    assert shell("bash", "--norc", script=script) == [
        *files,
        *offered,
        "complete -F _vm_preflight vm-preflight",
    ]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("vm-preflight run --output=j", ["--output=json", "--output=junit"]),
        ("vm-preflight checks explain HostC", ["HostCPUModel"]),
        ("vm-preflight run --config=/etc/host", ["--config=/etc/hosts"]),
    ],
)
def test_fish(shell, words, offered):
    found = shell("fish", "--no-config", script=f"source ./completion; complete -C '{words}'")
    assert set(offered) <= {line.partition("\t")[0] for line in found}


def test_zsh(tmp_path):
    """On a terminal of its own: zsh completes nothing without one."""
    program = shutil.which("zsh")
    if program is None:
        pytest.skip("zsh is not installed")
    script = tmp_path / "completion"
    script.write_text(SCRIPTS["zsh"])
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [program, "-f", "-i"],
        env=surroundings(tmp_path),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as zsh:
        os.close(theirs)
        seen = ""

        def until_seen(text):
            nonlocal seen
            while text not in seen:
                seen += os.read(ours, 4096).decode(errors="replace")
            seen = ""

        os.write(ours, f"autoload -U compinit; compinit -u -D; source {script}; echo re''ady\n".encode())
        until_seen("ready\r\n")
        os.write(ours, b"vm-preflight checks explain HostC\t")
        until_seen("HostCPUModel")
        os.write(ours, b"\x15vm-preflight run --output=js\t")
        until_seen("--output=json")
        zsh.kill()
    os.close(ours)


def test_kubectl_asks_the_plugin(lab):
    """kubectl finds both programs on the PATH, and asks for nodes with the kubeconfig that was typed."""
    if not (BIN / "kubectl_complete-vm_preflight").exists():
        pytest.skip("the plugin is not installed beside this Python")
    kubectl = str(toolchain.find("kubectl"))

    def ask(*words):
        ended = subprocess.run(
            [kubectl, "__complete", "vm-preflight", *words],
            env=surroundings(lab.plane.directory),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return [line.partition("\t")[0] for line in ended.stdout.splitlines()]

    there = ("--kubeconfig", str(lab.plane.kubeconfig))
    assert ask("") == [*KUBECTL.commands, ":4"]
    assert ask(*there, "explain", "") == ["n1", ":4"]
    assert ask("explain", *there, "--output=j") == ["json", ":4"]
    assert ask(*there, "--context", "") == ["test", ":4"]
    assert ask("explain", "--kubeconfig", "/nowhere", "") == [":4"]
