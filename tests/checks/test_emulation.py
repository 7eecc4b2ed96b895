"""The check Emulation: the mode that follows from KVM, and what a QEMU at hand answers."""

import errno
import os
import re
from pathlib import Path

import machines
import pytest
from memoryhost import MemoryHost, fail

from checks import emulation as module
from checks.emulation import emulation
from linux import emulator, qemu
from preflight.check import Run
from preflight.host import Host
from preflight.result import Finding, Outcome, failing, passing, unknown

WORKS = {"KVM": Finding(passing("GuestRan"), "")}
BROKEN = {"KVM": Finding(failing("DisabledByFirmware", hint="enable it"), "")}
NOT_TOLD = {"KVM": Finding(unknown("PermissionDenied", hint="sudo"), "")}

QEMU = "/usr/bin/qemu-system-x86_64"
GOOD = (
    0,
    b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 1, "major": 9}}}}\n' + 3 * b'{"return": {}}\n',
    b"",
)
NO_TCG = (1, b"", b"qemu-system-x86_64: -accel tcg: invalid accelerator tcg\n")


def ask(
    findings: dict[str, Finding], program: object = None, *, use: bool = False
) -> tuple[Finding, MemoryHost]:
    host = MemoryHost({"/proc/cpuinfo": machines.x86()})
    if program is not None:
        host.put(QEMU, "")
        host.conversations[QEMU] = program  # type: ignore[assignment] # a table's column
    return emulation(host, Run(findings=findings, use_emulation=use)), host


@pytest.mark.parametrize(
    ("findings", "program", "use", "outcome", "words"),
    [
        (WORKS, GOOD, True, module.NOT_NEEDED, "KVM works"),
        (BROKEN, GOOD, True, module.EMULATION_ENABLED, "QEMU 9.1.0"),
        (BROKEN, GOOD, False, module.EMULATION_AVAILABLE, "QEMU 9.1.0"),
        (NOT_TOLD, GOOD, False, module.EMULATION_AVAILABLE, "QEMU 9.1.0"),
        ({}, GOOD, False, module.EMULATION_AVAILABLE, "QEMU 9.1.0"),
        (BROKEN, NO_TCG, False, module.EMULATOR_BROKEN, "invalid accelerator tcg"),
        (BROKEN, NO_TCG, True, module.EMULATOR_BROKEN_AND_NEEDED, "invalid accelerator tcg"),
        (BROKEN, (-9, b"", b""), True, module.UNVERIFIED, "was killed"),
        (BROKEN, (-11, b"", b""), True, module.EMULATOR_BROKEN_AND_NEEDED, "signal 11"),
        (BROKEN, (0, b'{"QMP": {}}\n', b""), False, module.EMULATOR_BROKEN, "status 0"),
        (BROKEN, fail(errno.ENOEXEC), True, module.EMULATOR_BROKEN_AND_NEEDED, "ENOEXEC"),
        (BROKEN, fail(errno.ETIMEDOUT), True, module.UNVERIFIED, "ETIMEDOUT"),
        (BROKEN, fail(errno.EACCES), True, module.UNVERIFIED, "EACCES"),
        (BROKEN, fail(errno.ENOMEM), True, module.UNVERIFIED, "ENOMEM"),
        (BROKEN, None, True, module.UNVERIFIED, "KVM cannot be used; there is no QEMU"),
        (NOT_TOLD, None, True, module.UNVERIFIED, "whether KVM can be used could not be told"),
    ],
)
def test_emulation(
    findings: dict[str, Finding], program: object, use: bool, outcome: Outcome, words: str
) -> None:
    finding, host = ask(findings, program, use=use)
    assert finding.outcome is outcome
    assert words in finding.message
    assert bool(host.started) is (outcome is not module.NOT_NEEDED)


def test_a_directory_of_path_that_is_not_for_us_is_passed_over() -> None:
    class Searching(MemoryHost):
        program_directories = ("/home/admin/bin",)

    host = Searching({"/proc/cpuinfo": machines.x86(), QEMU: ""})
    host.conversations = {"/home/admin/bin/qemu-system-x86_64": fail(errno.EACCES), QEMU: GOOD}
    assert emulation(host, Run(findings=BROKEN)).outcome is module.EMULATION_AVAILABLE


def test_a_qemu_for_another_architecture_is_none() -> None:
    host = MemoryHost({"/proc/cpuinfo": machines.x86(), "/usr/bin/qemu-system-aarch64": ""})
    assert emulation(host, Run(findings=BROKEN)).outcome is module.EMULATOR_MISSING


def test_the_hosts_qemu_is_not_taken_for_another_architectures() -> None:
    host = MemoryHost({"/proc/cpuinfo": machines.x86(), QEMU: ""})
    host.root = "/host"
    finding = emulation(host, Run(findings=BROKEN))
    assert finding.outcome is module.UNVERIFIED
    assert QEMU in finding.message


@pytest.mark.parametrize(
    ("cpuinfo", "package"), [(machines.x86(), "qemu-system-x86 "), (machines.ARM, "qemu-system-arm ")]
)
def test_the_hint_installs_the_emulator_of_the_architecture(cpuinfo: str, package: str) -> None:
    hint = emulation(MemoryHost({"/proc/cpuinfo": cpuinfo}), Run(findings=BROKEN)).hint
    assert hint is not None
    assert package in hint


def test_nothing_is_started_for_another_machine() -> None:
    host = MemoryHost({"/proc/cpuinfo": machines.ARM})
    host.own_machine = False
    host.conversations[QEMU] = GOOD
    assert emulation(host, Run(findings=BROKEN)).outcome is module.UNVERIFIED
    assert host.started == []


def test_only_a_proven_failure_that_matters_blocks() -> None:
    assert [outcome for outcome in emulation.outcomes if outcome.blocking] == [
        module.EMULATOR_BROKEN_AND_NEEDED
    ]


def programs() -> list[str]:
    """Returns the emulators that are installed here, whatever they emulate."""
    return [name for name in qemu.others() if os.path.exists(name)]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes longer to start an emulator than a node may."""
    monkeypatch.setattr(qemu, "TIMEOUT", 60.0)


@pytest.mark.skipif(not programs(), reason="no qemu-system-… is installed")
def test_each_real_qemu_answers(patient: None) -> None:
    for program in programs():
        trial = emulator.start(Host(), program, qemu.EMULATING)
        assert trial.version in trial.told
        assert re.fullmatch(r"\d+\.\d+\.\d+", trial.version), trial.told


@pytest.mark.skipif(not os.path.exists(QEMU), reason=f"{QEMU} is not installed")
def test_a_real_qemu_that_refuses_is_quoted(patient: None) -> None:
    trial = emulator.start(Host(), QEMU, (*qemu.EMULATING, "-no-such-option"))
    assert (trial.version, trial.proven) == ("", True)
    assert "no-such-option" in trial.told


@pytest.mark.skipif(not os.path.exists(QEMU), reason=f"{QEMU} is not installed")
def test_this_machine(patient: None) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("this machine is no x86_64")
    assert emulation(Host(), Run(findings=BROKEN)).outcome is module.EMULATION_AVAILABLE


@pytest.mark.parametrize(
    ("script", "words", "proven"),
    [
        ("sleep 1000 & sleep 1000", "ETIMEDOUT", False),
        ("yes", "ETIMEDOUT", False),
        ("yes >&0", "ETIMEDOUT", False),
        ("trap '' TERM; while :; do :; done", "ETIMEDOUT", False),
        ("kill -9 $$", "was killed", False),
        ("kill -11 $$", "signal 11: it said nothing", True),
        ("echo no tcg >&2; exit 1", "status 1: no tcg", True),
        ("exec <&- >&- 2>&-; exit 2", "status 2: it said nothing", True),
        ("cat /dev/zero | head -c 9000000; exit 3", "status 3", True),
    ],
)
def test_whatever_stands_for_a_qemu_ends(
    script: str, words: str, proven: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "TIMEOUT", 1.0 if words == "ETIMEDOUT" else 60.0)
    program = tmp_path / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    host = Host()
    monkeypatch.setenv("PATH", f"{tmp_path}:relative:{os.environ['PATH']}")
    assert qemu.programs("x86_64", host.program_directories)[0] == str(program)
    trial = emulator.start(host, str(program), qemu.EMULATING)
    assert (trial.version, trial.proven) == ("", proven)
    assert words in trial.told
