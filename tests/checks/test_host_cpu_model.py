"""The check HostCPUModel: what QEMU says of the host's model, and which model works in its place."""

import errno
import os
import struct
from collections import defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import Conversation, FakeDevice, FakeKVM, MemoryHost, Node, fail, kvm_node
from realkvm import needs_kvm, needs_root

from checks import host_cpu_model as module
from checks.host_cpu_model import host_cpu_model
from linux import qemu
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome

QEMU = "/usr/bin/qemu-system-x86_64"


class Offering(FakeKVM):
    """An x86 KVM that offers CPUID and registers, and may refuse one of them.

    Args:
        features: CPUID's leaf 7, edx.
        refuses: The register that a vCPU does not take.
        errors: See `FakeKVM`.
    """

    def __init__(self, features: int = 0, refuses: int = 0, errors: Mapping[str, int] | None = None) -> None:
        super().__init__(errors=errors or {})
        self._features = features
        self._refuses = refuses

    def _answer(self, request: int, argument: int | bytearray) -> int:
        result = super()._answer(request, argument)
        name = self._names[request]
        if isinstance(argument, int):
            return result
        if name == "get_supported_cpuid":
            struct.pack_into("=2I10I7I", argument, 0, 2, 0, *[0] * 10, 7, 0, 0, 0, 0, 0, self._features)
        elif name == "get_msr_feature_index_list":
            struct.pack_into("=4I", argument, 0, 3, 0x8B, 0xCF, 0x10A)
        elif name == "get_msrs":
            struct.pack_into("=Q", argument, 16, struct.unpack_from("=I", argument, 8)[0] << 4)
        elif name == "set_msrs":
            return int(struct.unpack_from("=I", argument, 8)[0] != self._refuses)
        return result


GREETING = b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}}}\r\n'
GOOD: Conversation = (0, GREETING + 3 * b'{"return": {}}\r\n', b"")
PRINTED = b"""qemu-system-x86_64: warning: something
qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69
qemu-system-x86_64: ../target/i386/kvm/kvm.c:3183: kvm_buf_set_msrs: Assertion `ret == n' failed.
"""
MSR: Conversation = (-6, GREETING, PRINTED)
OTHER_MSR: Conversation = (-6, b"", b"qemu-system-x86_64: error: failed to set MSR 0x8b to 0x1\n")
NO_KVM: Conversation = (1, b"", b"Could not access KVM kernel module: Permission denied\n")
NO_BIOS: Conversation = (1, b"", b"qemu: could not load PC BIOS 'bios-256k.bin'\n")
NO_ARCH_CAPABILITIES = "host,arch-capabilities=off"


def host_with(answers: Mapping[str, Conversation | OSError], architecture: str = "x86_64") -> MemoryHost:
    """Returns a machine whose QEMU answers by the CPU model that it is started with."""
    host = MemoryHost()
    host.own_architecture = architecture
    program = qemu.programs(architecture)[0]
    host.conversations[program] = lambda arguments: answers[arguments[arguments.index("-cpu") + 1]]
    return host


@pytest.mark.parametrize(
    ("answers", "outcome", "words", "fix"),
    [
        ({"host": GOOD}, module.HOST_MODEL_WORKS, "QEMU 7.2.22 starts with KVM and -cpu host", None),
        (
            {"host": MSR, "kvm64": GOOD, NO_ARCH_CAPABILITIES: GOOD},
            module.HOST_MODEL_FAILS,
            "MSR 0x10a to 0x69; it starts with -cpu host,arch-capabilities=off and with -cpu kvm64",
            """{"model":"host-passthrough","features":[{"name":"arch-capabilities","policy":"disable"}]}""",
        ),
        (
            {"host": MSR, "kvm64": GOOD, NO_ARCH_CAPABILITIES: MSR},
            module.HOST_MODEL_FAILS,
            "it starts with -cpu kvm64",
            '"cpu":{"model":"kvm64"}}}}}',
        ),
        (
            {"host": OTHER_MSR, "kvm64": GOOD},
            module.HOST_MODEL_FAILS,
            "MSR 0x8b to 0x1; it starts with -cpu kvm64",
            '"cpu":{"model":"kvm64"}}}}}',
        ),
        ({"host": NO_KVM, "kvm64": NO_KVM}, module.NOT_TOLD, "Permission denied; nor does it", "-cpu host"),
        (
            {"host": NO_BIOS, "kvm64": NO_BIOS},
            module.NOT_TOLD,
            "bios-256k.bin",
            f"{QEMU} -machine q35 -accel kvm -cpu host -m 64 -S -nodefaults -no-user-config -display none",
        ),
        (
            {"host": fail(errno.ETIMEDOUT), "kvm64": GOOD},
            module.NOT_TOLD,
            "ETIMEDOUT",
            "-cpu host",
        ),
        ({"host": (-9, b"", b""), "kvm64": GOOD}, module.NOT_TOLD, "was killed", "-cpu host"),
        ({"host": fail(errno.ENOMEM), "kvm64": GOOD}, module.NOT_TOLD, "ENOMEM", "-cpu host"),
        ({"host": (0, GREETING, b""), "kvm64": GOOD}, module.HOST_MODEL_FAILS, "status 0", "kvm64"),
    ],
)
def test_answers(
    answers: dict[str, Conversation | OSError], outcome: Outcome, words: str, fix: str | None
) -> None:
    finding = host_cpu_model(host_with(answers), Run())
    assert finding.outcome is outcome
    assert words in finding.message
    assert (finding.hint is None) is (fix is None)
    assert (fix or "") in (finding.hint or "")


@pytest.mark.parametrize("architecture", ["aarch64", "ppc64le", "riscv64", "s390x"])
def test_other_architectures_have_no_model_to_compare_with(architecture: str) -> None:
    assert host_cpu_model(host_with({"host": GOOD}, architecture), Run()).outcome is module.HOST_MODEL_WORKS
    assert host_cpu_model(host_with({"host": NO_KVM}, architecture), Run()).outcome is module.NOT_TOLD


def test_no_qemu_no_answer() -> None:
    host = MemoryHost()
    host.own_architecture = "s390x"
    assert host_cpu_model(host, Run()).outcome is module.EMULATOR_MISSING


@pytest.mark.parametrize(
    ("kvm", "outcome", "words", "fix"),
    [
        (Offering(features=1 << 29), module.OFFER_TAKEN, "offers: 2 set", None),
        (Offering(), module.OFFER_TAKEN, "offers: 1 set", None),
        (
            Offering(features=1 << 29, refuses=0x10A),
            module.OFFER_REFUSED,
            "0x10a with 0x10a0",
            '"name":"arch-capabilities"',
        ),
        (Offering(features=1 << 30, refuses=0xCF), module.OFFER_REFUSED, "0xcf", '"name":"core-capability"'),
        (Offering(refuses=0x8B), module.OFFER_REFUSED, "0x8b", "apt install"),
        (
            Offering(errors={"get_msr_feature_index_list": errno.ENOTTY}),
            module.OFFER_TAKEN,
            "offers: 0 set",
            None,
        ),
        (
            Offering(errors={"set_cpuid2": errno.EINVAL}),
            module.NOT_TOLD,
            "KVM_SET_CPUID2: Inv",
            "apt install",
        ),
        (Offering(errors={"create_vm": errno.EBUSY}), module.NOT_TOLD, "KVM_CREATE_VM", "apt install"),
        (None, module.NOT_TOLD, "opening /dev/kvm", "apt install"),
    ],
)
def test_kvm_is_asked_where_there_is_no_qemu(
    kvm: Offering | None, outcome: Outcome, words: str, fix: str | None
) -> None:
    before = FakeDevice.open_ones
    finding = host_cpu_model(MemoryHost({module.KVM: kvm_node(kvm)} if kvm else {}), Run())
    assert finding.outcome is outcome
    assert words in finding.message
    assert (fix or "") in (finding.hint or "")
    assert FakeDevice.open_ones == before


def test_what_kvm_said_is_remembered_until_there_is_a_qemu() -> None:
    host = MemoryHost({module.KVM: kvm_node(Offering())})
    first = host_cpu_model(host, Run())
    second = host_cpu_model(host, Run(previous=first))
    assert (first.outcome, second.outcome) == (module.OFFER_TAKEN, module.OFFER_TAKEN)
    assert second.evidence["asked"] == "in an earlier run"
    host.put(QEMU, "")
    host.conversations[QEMU] = GOOD
    assert host_cpu_model(host, Run(previous=second)).outcome is module.HOST_MODEL_WORKS


def test_an_architecture_that_nobody_knows() -> None:
    host = host_with({"host": GOOD}, "sparc64")
    assert host_cpu_model(host, Run()).outcome is module.UNSUPPORTED
    assert host.started == []


def test_nothing_is_started_for_another_machine() -> None:
    host = host_with({"host": GOOD})
    host.own_machine = False
    assert host_cpu_model(host, Run()).outcome is module.NOT_THIS_MACHINE
    assert host.started == []


def installed() -> MemoryHost:
    host = host_with({"host": MSR, "kvm64": GOOD, NO_ARCH_CAPABILITIES: GOOD})
    for path in (QEMU, module.KVM, "/proc/sys/kernel/random/boot_id"):
        host.put(path, f"{path}\n")
    return host


def test_what_qemu_said_is_remembered() -> None:
    host = installed()
    first = host_cpu_model(host, Run())
    assert len(host.started) == 3
    assert "asked" not in first.evidence
    second = host_cpu_model(host, Run(previous=first))
    third = host_cpu_model(host, Run(previous=second))
    assert len(host.started) == 3
    assert second == third == first._replace(evidence={**first.evidence, "asked": "in an earlier run"})


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (QEMU, "another version"),
        ("/proc/sys/kernel/random/boot_id", "another boot"),
        (module.IGNORE_MSRS, "Y\n"),
        (module.KVM, Node(stat_errno=errno.EACCES)),
    ],
)
def test_what_changed_is_asked_anew(path: str, content: str | Node) -> None:
    host = installed()
    first = host_cpu_model(host, Run())
    host.put(path, content)
    assert "asked" not in host_cpu_model(host, Run(previous=first)).evidence
    assert len(host.started) == 6


def test_what_was_not_told_is_asked_again() -> None:
    host = installed()
    host.conversations[QEMU] = NO_KVM
    first = host_cpu_model(host, Run())
    assert first.outcome is module.NOT_TOLD
    host.conversations[QEMU] = GOOD
    assert host_cpu_model(host, Run(previous=first)).outcome is module.HOST_MODEL_WORKS


PIECES = st.sampled_from(
    [GREETING, b'{"return": {}}\n', PRINTED, b"failed to set MSR 0x0 to ", b"{", b"\xff\n"]
)
BYTES = st.lists(PIECES | st.binary(max_size=20), max_size=8).map(b"".join)


@given(st.integers(-64, 255), BYTES, BYTES)
def test_no_bytes_make_it_fail_or_pass_wrongly(status: int, answers: bytes, printed: bytes) -> None:
    finding = host_cpu_model(host_with(defaultdict(lambda: (status, answers, printed))), Run())
    if finding.outcome is module.HOST_MODEL_WORKS:
        assert status == 0
        assert answers.count(b'{"return": {}}') >= 3
    else:
        assert finding.outcome is module.NOT_TOLD


@needs_kvm
@needs_root
@pytest.mark.skipif(not os.path.exists(QEMU), reason=f"{QEMU} is not installed")
def test_this_machine_as_qemu_and_as_kvm_say() -> None:
    finding = host_cpu_model(Host(), Run())
    kvm = module._ask_kvm(Host(), os.uname().machine)
    if finding.outcome is module.HOST_MODEL_FAILS:
        assert "it starts with -cpu" in finding.message
    else:
        assert finding.outcome is module.HOST_MODEL_WORKS
        assert kvm.outcome is module.OFFER_TAKEN
    if kvm.outcome is module.OFFER_REFUSED:
        (call,) = kvm.evidence
        assert f"failed to set MSR {call.removeprefix('KVM_SET_MSRS ')} " in finding.message
