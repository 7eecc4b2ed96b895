"""The checks Tun, VhostNet and KVMModules."""

import errno
import os
import stat
from types import ModuleType

import pytest
from memoryhost import FakeDevice, MemoryHost, Node

from checks import kvm_modules as modules
from checks import tun, vhost_net
from checks.kvm_modules import kvm_modules
from preflight.check import Check, Run
from preflight.result import Outcome, Status

DEVICES: list[tuple[ModuleType, Check]] = [(tun, tun.tun), (vhost_net, vhost_net.vhost_net)]


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
        assert finding.hint or finding.outcome.status is Status.PASS
    assert FakeDevice.open_ones == before
    assert {outcome for _, outcome in table} == set(check.outcomes)


@pytest.mark.parametrize(
    ("files", "outcome", "words"),
    [
        ({"/proc/misc": "232 kvm\n"}, modules.REGISTERED, "tells no name"),
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
            {"/proc/misc": "232 kvm\n", "/sys/module/kvm_amd/parameters/npt": "0\n"},
            modules.NO_HARDWARE_PAGING,
            "paged in software",
        ),
        ({"/proc/misc": "10 kvm_intel\n"}, modules.NOT_REGISTERED, "does not list"),
        ({"/sys/class/misc/kvm/dev": "10:232\n"}, modules.REGISTERED, "10:232"),
        ({"/sys/class/misc/tun/dev": "10:200\n"}, modules.NOT_REGISTERED, "not registered"),
        ({}, modules.UNREADABLE, "neither"),
    ],
)
def test_kvm_modules(files: dict[str, str], outcome: Outcome, words: str) -> None:
    finding = kvm_modules(MemoryHost(files), Run())
    assert finding.outcome is outcome
    assert words in finding.message
