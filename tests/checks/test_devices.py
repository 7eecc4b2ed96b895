"""The checks Tun, VhostNet, VhostVsock and KVMModules."""

import errno
import os
import stat
from types import ModuleType

import pytest
from memoryhost import FakeDevice, MemoryHost, Node

from checks import kvm_modules as modules
from checks import tun, vhost_net, vhost_vsock
from checks.kvm_modules import kvm_modules
from preflight.check import Check, Run
from preflight.result import Outcome, Status

DEVICES: list[tuple[ModuleType, Check]] = [
    (tun, tun.tun),
    (vhost_net, vhost_net.vhost_net),
    (vhost_vsock, vhost_vsock.vhost_vsock),
]


def device(number: tuple[int, int], **changes: int) -> Node:
    node = Node(
        mode=stat.S_IFCHR | 0o600,
        number=os.makedev(*number),
        device=lambda: FakeDevice(lambda request, argument: 0),
    )
    for name, value in changes.items():
        setattr(node, name, value)
    return node


@pytest.mark.parametrize(("module", "check"), DEVICES)
def test_every_answer_has_its_reason(module: ModuleType, check: Check) -> None:
    path, number = module.PATH, module.NUMBER
    table: list[tuple[Node | None, Outcome]] = [
        (device(number), module.AVAILABLE),
        (None, module.DEVICE_MISSING),
        (Node(target="/nowhere"), module.DEVICE_MISSING),
        (Node(), module.NOT_A_DEVICE),
        (Node(mode=stat.S_IFDIR), module.NOT_A_DEVICE),
        (Node(mode=stat.S_IFBLK, number=os.makedev(*number)), module.NOT_A_DEVICE),
        (device((1, 3)), module.WRONG_DEVICE),
        (device(number, open_errno=errno.ENODEV), module.DRIVER_MISSING),
        (device(number, open_errno=errno.ENXIO), module.DRIVER_MISSING),
        (device(number, open_errno=errno.EACCES), module.ACCESS_DENIED),
        (device(number, open_errno=errno.EPERM), module.ACCESS_DENIED),
        (device(number, open_errno=errno.EMFILE), module.OPEN_FAILED),
        (device(number, stat_errno=errno.EACCES), module.ACCESS_DENIED),
    ]
    before = FakeDevice.open_ones
    for node, outcome in table:
        finding = check(MemoryHost({} if node is None else {path: node}), Run())
        assert finding.outcome is outcome
        assert path in finding.message
        assert finding.hint or finding.outcome.status in (Status.PASS, Status.SKIP)
    assert FakeDevice.open_ones == before
    assert {outcome for _, outcome in table} == set(check.outcomes) - {module.NOT_IN_CONTAINER}


@pytest.mark.parametrize(("module", "check"), DEVICES)
def test_what_a_container_does_not_have_the_host_may_have(module: ModuleType, check: Check) -> None:
    host = MemoryHost({"/proc/self/ns/pid": Node(target="pid:[4026532000]")})
    host.own |= {"mountinfo": "24 27 0:6 / /dev rw - tmpfs tmpfs rw\n", "root/run/.containerenv": ""}
    finding = check(host, Run())
    assert finding.outcome is module.NOT_IN_CONTAINER
    assert finding.hint == f"podman run --device {module.PATH} --group-add keep-groups …"


@pytest.mark.parametrize(("module", "check"), DEVICES)
def test_whom_the_mode_keeps_out_is_told_so(module: ModuleType, check: Check) -> None:
    host = MemoryHost({module.PATH: device(module.NUMBER, open_errno=errno.EACCES, gid=107)})
    host.user, host.groups = 1000, frozenset({1000})
    finding = check(host, Run())
    assert finding.outcome is module.ACCESS_DENIED
    assert "it belongs to 0:107 with mode 0600, which does not let user 1000 in" in finding.message


@pytest.mark.parametrize(("module", "check"), DEVICES)
def test_without_descriptors_nothing_is_said_of_the_device(module: ModuleType, check: Check) -> None:
    class Exhausted(MemoryHost):
        def own_process(self, name: str) -> str:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    finding = check(Exhausted(), Run())
    assert finding.outcome is module.OPEN_FAILED
    assert "EMFILE" in finding.message


@pytest.mark.parametrize(
    ("files", "outcome", "words"),
    [
        ({"/proc/misc": "232 kvm\n", "/sys/module/tun/x": ""}, modules.REGISTERED, "tells no name"),
        ({"/proc/misc": "232 kvm\n"}, modules.REGISTERED, "without /sys/module its backend cannot be seen"),
        (
            {
                "/proc/misc": "232 kvm\n",
                "/proc/modules": "kvm_amd 1 0 - Live 0x0\nkvm 1 1 kvm_amd, Live 0x0\n",
            },
            modules.REGISTERED,
            "backend kvm_amd",
        ),
        (
            {
                "/proc/misc": "232 kvm\n",
                "/sys/module/kvm_intel/parameters/ept": "Y\n",
                "/sys/module/kvm_intel/parameters/nested": "N\n",
            },
            modules.REGISTERED,
            "backend kvm_intel, ept=Y, nested=N",
        ),
        ({"/proc/misc": "232 kvm\n", "/sys/module/kvm_pvm/x": ""}, modules.REGISTERED, "backend kvm_pvm"),
        (
            {"/proc/misc": "232 kvm\n", "/sys/module/kvm/parameters/nested": "1\n"},
            modules.REGISTERED,
            "backend kvm, nested=1",
        ),
        (
            {"/proc/misc": "232 kvm\n", "/sys/module/kvm_amd/parameters/npt": "0\n"},
            modules.NO_HARDWARE_PAGING,
            "paged in software",
        ),
        ({"/proc/misc": "10 kvm_intel\n"}, modules.NOT_REGISTERED, "does not list"),
        ({"/sys/class/misc/kvm/dev": "10:232\n"}, modules.REGISTERED, "10:232"),
        ({"/sys/class/misc/tun/dev": "10:200\n"}, modules.NOT_REGISTERED, "/sys/class/misc does not list"),
        ({}, modules.UNREADABLE, "neither"),
    ],
)
def test_kvm_modules(files: dict[str, str], outcome: Outcome, words: str) -> None:
    finding = kvm_modules(MemoryHost(files), Run())
    assert finding.outcome is outcome
    assert words in finding.message
