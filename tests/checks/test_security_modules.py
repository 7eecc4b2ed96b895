"""The check SecurityModules: AppArmor, SELinux and lockdown, alone and together."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import MemoryHost, Node

from checks import security_modules as module
from checks.security_modules import (
    APPARMOR,
    BOOLEANS,
    ENFORCE,
    FILESYSTEMS,
    LOCKDOWN,
    PROFILES,
    security_modules,
)
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome, Status

PLAIN = {FILESYSTEMS: "nodev\tsysfs\nnodev\tproc\n\text4\n", "/sys/module/kernel/parameters/panic": "0\n"}
SELINUX = {**PLAIN, FILESYSTEMS: PLAIN[FILESYSTEMS] + "nodev\tselinuxfs\n"}
CONTAINER_POLICY = {f"{BOOLEANS}/container_use_devices": "0 0"}
ON = {**PLAIN, APPARMOR: "Y\n"}
UBUNTU = "docker-default (enforce)\n/usr/sbin/cupsd (enforce)\nvirt-aa-helper (enforce)\nx (complain)\n"


@pytest.mark.parametrize(
    ("files", "outcome", "words"),
    [
        (PLAIN, module.NOTHING_IN_THE_WAY, "AppArmor: off; SELinux: off"),
        ({**PLAIN, APPARMOR: "N\n"}, module.NOTHING_IN_THE_WAY, "AppArmor: off"),
        ({**ON, PROFILES: UBUNTU}, module.NOTHING_IN_THE_WAY, "4 profiles, none for libvirt"),
        ({**ON, PROFILES: ""}, module.NOTHING_IN_THE_WAY, "0 profiles"),
        ({**ON, PROFILES: "libvirtd (complain)\n"}, module.NOTHING_IN_THE_WAY, "1 profiles"),
        ({**ON, PROFILES: "virtqemud (unconfined)\n"}, module.NOTHING_IN_THE_WAY, "1 profiles"),
        (
            {**ON, PROFILES: "libvirtd//qemu_bridge_helper (enforce)\n"},
            module.NOTHING_IN_THE_WAY,
            "1 profiles",
        ),
        ({**ON, PROFILES: "libvirt-0a1b (enforce)\n"}, module.NOTHING_IN_THE_WAY, "1 profiles"),
        (
            {**ON, PROFILES: UBUNTU + "libvirtd (enforce)\n"},
            module.APPARMOR_PROFILE,
            "libvirtd (enforce) is loaded",
        ),
        ({**ON, PROFILES: "/usr/sbin/libvirtd (enforce)\n"}, module.APPARMOR_PROFILE, "/usr/sbin/libvirtd"),
        ({**ON, PROFILES: "virtqemud (kill)\n"}, module.APPARMOR_PROFILE, "virtqemud (kill)"),
        ({**ON, PROFILES: Node(open_errno=errno.EACCES)}, module.NOT_VISIBLE, f"reading {PROFILES}"),
        (ON, module.NOT_VISIBLE, "ENOENT"),
        ({**SELINUX, ENFORCE: "1", **CONTAINER_POLICY}, module.NOTHING_IN_THE_WAY, "SELinux: enforcing"),
        ({**SELINUX, ENFORCE: "1"}, module.NOTHING_IN_THE_WAY, "SELinux: enforcing"),
        (
            {**SELINUX, ENFORCE: "1", f"{BOOLEANS}/httpd_x": "0 0"},
            module.NO_CONTAINER_POLICY,
            "none of container",
        ),
        ({**SELINUX, ENFORCE: "0", f"{BOOLEANS}/httpd_x": "0 0"}, module.NOTHING_IN_THE_WAY, "permissive"),
        (SELINUX, module.NOT_VISIBLE, "SELinux"),
        (
            {**PLAIN, LOCKDOWN: "none [integrity] confidentiality\n"},
            module.NOTHING_IN_THE_WAY,
            "lockdown: integrity",
        ),
        ({"/sys/module/kernel/parameters/panic": "0\n"}, module.NOT_VISIBLE, FILESYSTEMS),
        ({FILESYSTEMS: PLAIN[FILESYSTEMS]}, module.NOT_VISIBLE, "/sys/module"),
        ({PROFILES: "libvirtd (enforce)\n"}, module.APPARMOR_PROFILE, "libvirtd (enforce) is loaded"),
        ({}, module.NOT_VISIBLE, "/sys/module"),
    ],
)
def test_machines(files: dict[str, str | Node], outcome: Outcome, words: str) -> None:
    finding = security_modules(MemoryHost(files), Run())
    assert finding.outcome is outcome
    assert words in finding.message


@pytest.mark.parametrize("name", ["libvirtd", "virtqemud"])
def test_the_hint_takes_the_right_profile_off(name: str) -> None:
    finding = security_modules(MemoryHost({**ON, PROFILES: f"{name} (enforce)\n"}), Run())
    assert finding.hint is not None
    assert f"apparmor_parser -R /etc/apparmor.d/usr.sbin.{name}" in finding.hint


LINES = st.lists(
    st.sampled_from(
        ["Y", "1", "libvirtd (enforce)", "a b (complain)", " (", "()", "nodev\tproc", "proc", "[x]", "[]"]
    )
    | st.text(max_size=9)
).map("\n".join)


@given(st.dictionaries(st.sampled_from([APPARMOR, PROFILES, FILESYSTEMS, ENFORCE, LOCKDOWN]), LINES))
def test_no_text_makes_it_fail_or_pass_wrongly(files: dict[str, str]) -> None:
    finding = security_modules(MemoryHost(files), Run())
    if finding.outcome.status is Status.PASS:
        assert files.get(APPARMOR, "").strip() != "Y" or "\nlibvirtd (enforce)" not in files[PROFILES]
        assert files.get(ENFORCE, "").strip() in ("0", "1") or "nodev\tproc" in files[FILESYSTEMS]


def test_this_machine() -> None:
    finding = security_modules(Host(), Run())
    assert finding.outcome in security_modules.outcomes
    assert finding.message
