"""What ``checks list`` and ``checks explain`` show: complete, fit for a terminal, with commands to paste."""

import json
import re
from pathlib import Path

import pytest
from fakechecks import BAD, DOOMED, GOOD, fake
from hypothesis import given
from hypothesis import strategies as st
from program import vm_preflight

from cli.checks import declaration
from cli.explanation import explanation, fold_hint, plain, rows
from cli.reference import page
from preflight.check import ADVISORY, Check, Setting
from preflight.config import Config
from preflight.discovery import discover
from preflight.outcomes import RUNNER_OUTCOMES

LEAST = Setting("minimum_bytes", 1 << 30, "Bytes that must be there.", minimum=0)
WHERE = Setting("path", "/var", "Where they are.")
DISK = fake(
    "Disk",
    settings=(LEAST, WHERE),
    outcomes=(GOOD, BAD, DOOMED),
    reads=("/proc/a", "/proc/b"),
    needs=("KVM",),
)
CHECKS = discover()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_our_own_explanations_fit_a_terminal_and_tell_why(check: Check) -> None:
    assert check.description, "what follows the first line of the module's documentation tells why"
    shown = explanation(check, Config(), 80).splitlines()
    parts = {part for one in check.outcomes if one.hint for part in fold_hint(one.hint, 1)}
    for line in shown[1:]:
        # A command is never wrapped, and a part of a hint might be one.
        assert len(line) <= 80 or line.strip("→; ") in {part.rstrip(";") for part in parts}, line
        assert line == line.rstrip()
    assert len(shown[0]) <= 110


def test_everything_declared_is_shown() -> None:
    shown = explanation(DISK._replace(description="One ``word``\nand\n\nanother `one`."), Config(), 80)
    assert shown.startswith("Disk: Is Disk good?\n\n  One word and\n\n  another one.\n\nWeight    blocking: ")
    assert "Reads     /proc/a\n          /proc/b\nNeeds     KVM\n" in shown
    assert "  Fail     Bad\n           → repair it\n  Fail     Doomed, whatever the weight\n" in shown
    assert "  minimum_bytes = 1073741824\n      Bytes that must be there. (at least 0)\n" in shown
    assert '  path = "/var"\n      Where they are.' in shown
    assert all(one.reason in " ".join(shown.split()) for one in RUNNER_OUTCOMES)
    assert "a reason that it gives itself" in explanation(DISK._replace(open_reasons=True), Config(), 80)


def test_what_is_configured_is_shown() -> None:
    config = Config(
        weights={"Disk": ADVISORY},
        timeouts={"Disk": 2.5},
        settings={"Disk": {"minimum_bytes": 7, "path": "/x"}},
    )
    shown = explanation(DISK, config, 100)
    assert (
        "advisory: never fails the node; a Fail is shown as Warn (configured; by default blocking)" in shown
    )
    assert "Time-out  2.5 s (configured; by default 30)" in shown
    assert "minimum_bytes = 7 (configured; by default 1073741824)" in shown
    assert 'path = "/x" (configured; by default "/var")' in shown
    wire = declaration(DISK, config)
    assert (wire["weight"], wire["timeoutSeconds"]) == ("advisory", 2.5)
    assert [one["value"] for one in wire["settings"]] == [7, "/x"]  # type: ignore[index,attr-defined,union-attr]
    assert list(rows([DISK], config, None)) == ["Disk  advisory  Is Disk good?"]


def test_a_list_is_wrapped_on_a_terminal_alone() -> None:
    check = fake("Disk")._replace(question="Has it " + "very " * 30 + "much?")
    (line,) = rows([check], Config(), None)
    assert line.endswith("much?")
    first, *rest = rows([check], Config(), 80)
    assert first.startswith("Disk  blocking  Has it very")
    assert rest
    assert all(line.startswith(" " * 16) and len(line) <= 80 for line in rest)


@pytest.mark.parametrize(
    ("hint", "lines"),
    [
        ("modprobe kvm", ["modprobe kvm"]),
        ("rm /dev/kvm; mknod /dev/kvm c 10 232", ["rm /dev/kvm;", "mknod /dev/kvm c 10 232"]),
        ("a; b; c", ["a; b; c"]),
        ("awk 'x; y' file; and so on for longer", ["awk 'x; y' file;", "and so on for longer"]),
        ('echo "a long text; more of it" > file', ['echo "a long text; more of it" > file']),
        ("ausearch -m avc;", ["ausearch -m avc;"]),
        ("see the host's log; it's there", ["see the host's log; it's there"]),
    ],
)
def test_a_hint_is_broken_between_commands_alone(hint: str, lines: list[str]) -> None:
    assert fold_hint(hint, 24) == lines


commands = st.sampled_from(
    ["a", "rm 'x; y'", 'echo "b; c"', "dmesg | tail", "uptime;", "look at the host's log"]
)


@given(st.lists(commands, min_size=1).map("; ".join), st.integers(1, 40))
def test_a_folded_hint_is_the_same_when_pasted(hint: str, width: int) -> None:
    lines = fold_hint(hint, width)
    assert "\n".join(lines).replace(";\n", "; ") == hint
    assert all(line.count('"') % 2 == 0 for line in lines)


def test_the_page_has_everything_of_every_check() -> None:
    text = page([DISK, fake("Tun", reads=("a|b",))._replace(question="Is it | so?")], Config())
    assert "| [Disk](#disk) | Is Disk good? | blocking |" in text
    assert r"| [Tun](#tun) | Is it \| so? | blocking |" in text
    assert r"| reads | `a\|b` |" in text
    assert "| `Doomed` | Fail, whatever the weight | `replace it` |" in text
    assert "| `minimum_bytes` | `1073741824` | Bytes that must be there. (at least 0) |" in text
    assert all(f"| `{one.reason}` | {one.status} |" in text for one in RUNNER_OUTCOMES)


def test_markup_is_left_out() -> None:
    assert plain("a ``b``\n`c` d\n\n\n e\n") == ["a b c d", "e"]


def test_the_commands_take_a_configuration_and_a_directory(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "disk.sh").write_text("#!/bin/sh\n")
    (plugins / "disk.sh").chmod(0o755)
    config = tmp_path / "preflight.toml"
    config.write_text('[checks.Disk]\nminimum_free_bytes = 5\n[checks.DiskDiskSh]\nweight = "advisory"\n')
    where = {"VM_PREFLIGHT_PLUGIN_DIR": str(plugins), "VM_PREFLIGHT_CONFIG": str(config)}
    words = ("--plugin-dir", str(plugins), "--config", str(config))
    listed = vm_preflight("checks", "list", "-o", "json", *words)
    assert listed.stdout == vm_preflight("checks", "list", "-o", "json", **where).stdout
    by_name = {one["name"]: one for one in json.loads(listed.stdout)}
    assert by_name["DiskDiskSh"]["weight"] == "advisory"
    assert {one["name"]: one["value"] for one in by_name["Disk"]["settings"]}["minimum_free_bytes"] == 5
    explained = vm_preflight("checks", "explain", "Disk", **where).stdout
    assert "minimum_free_bytes = 5 (configured; by default " in explained
    assert re.search(r"^DiskDiskSh +advisory ", vm_preflight("checks", "list", *words).stdout, re.MULTILINE)
    assert "## DiskDiskSh\n" in vm_preflight("checks", "list", "-o", "markdown", *words).stdout


@pytest.mark.parametrize("words", [("checks", "list"), ("checks", "explain", "KVM"), ("run",), ("probe",)])
@pytest.mark.parametrize("option", ["--plugin-dir", "--config"])
def test_what_is_not_there_is_one_line(words: tuple[str, ...], option: str) -> None:
    ended = vm_preflight(*words, option, "/nowhere/at all")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "/nowhere/at all: No such file or directory" in ended.stderr
