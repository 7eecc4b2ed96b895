"""Whole machines: every check on every tree of ``tests/hosts``, against the golden reasons beside it."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import golden
import pytest
from golden import HOSTS, MACHINES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memoryhost import MemoryHost
from realkvm import needs_kvm, needs_root

from checks.kvm import GUEST_RAN, VCPU_CREATED, kvm
from preflight.check import Run
from preflight.host import Host
from preflight.outcomes import DEPENDENCY_FAILED
from preflight.result import Finding, Status

CHECKS = {check.name: check for check in golden.checks()}


def ask(host: Host) -> dict[str, Finding]:
    findings = golden.ask(host)
    for name, finding in findings.items():
        assert finding.outcome in (*CHECKS[name].outcomes, DEPENDENCY_FAILED)
        assert finding.hint or finding.outcome.status not in (Status.FAIL, Status.UNKNOWN)
    return findings


@pytest.mark.parametrize("machine", MACHINES)
def test_golden(machine: str) -> None:
    findings = ask(Host(str(HOSTS / machine)))
    found = {name: finding.outcome.reason for name, finding in findings.items()}
    assert found == json.loads((HOSTS / f"{machine}.json").read_text())


def test_the_firmware_is_named() -> None:
    finding = kvm(Host(str(HOSTS / "bios-off")), Run())
    assert "disabled by BIOS" in finding.message
    assert finding.hint is not None
    assert "firmware" in finding.hint


def test_the_cloud_is_named() -> None:
    finding = kvm(Host(str(HOSTS / "nested-off")), Run())
    assert "Google Compute Engine" in finding.message
    assert finding.hint is not None
    assert "--enable-nested-virtualization" in finding.hint


@needs_kvm
@needs_root
@pytest.mark.parametrize("machine", ["pvm", "intel", "amd", "bios-off", "cpus-differ", "hardened", "tdx"])
def test_a_device_that_runs_guests_outweighs_what_a_machine_says(machine: str, tmp_path: Path) -> None:
    root = tmp_path / machine
    shutil.copytree(HOSTS / machine, root)
    os.mknod(root / "dev/kvm", stat.S_IFCHR | 0o600, os.makedev(10, 232))
    findings = ask(Host(str(root)))
    assert findings["KVM"].outcome in (GUEST_RAN, VCPU_CREATED)
    assert findings["CPU"].outcome.status in (Status.PASS, Status.WARN)
    assert findings["Emulation"].outcome.reason == "NotNeeded"


def files(machine: str) -> Iterator[str]:
    root = HOSTS / machine
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield "/" + str(path.relative_to(root))


PATHS = sorted({path for machine in MACHINES for path in files(machine)} | {"/dev/kvm", "/dev/net/tun"})


@pytest.mark.parametrize(
    "junk", [b"", b"\0" * 4096, bytes(range(256)) * 16, b"\xff\xfe\n:\n" * 99, b"\n" * 4096]
)
def test_a_tree_of_junk_is_no_pass(junk: bytes, tmp_path: Path) -> None:
    for path in PATHS:
        file = tmp_path / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(junk)
    findings = ask(Host(str(tmp_path)))
    assert [name for name, finding in findings.items() if finding.outcome.status is Status.PASS] == []


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_no_contents_of_files_make_a_check_fail_or_pass_wrongly(data: st.DataObject) -> None:
    """Lines of all machines, mixed up with bytes, at any path: no traceback, and no guest ran."""
    lines = st.sampled_from(LINES) | st.binary(max_size=40)
    contents = data.draw(st.dictionaries(st.sampled_from(PATHS), st.lists(lines, max_size=6).map(b"\n".join)))
    host = MemoryHost(contents)
    host.own_machine = False
    host.log = [line.decode("utf-8", "replace") for line in contents.get("/dev/kmsg", b"").splitlines()]
    findings = ask(host)
    for name in ("KVM", "Tun", "VhostNet"):
        assert findings[name].outcome.status is not Status.PASS


LINES = sorted(
    {
        line
        for machine in MACHINES
        for path in files(machine)
        for line in (HOSTS / machine / path[1:]).read_bytes().splitlines()
    }
)
