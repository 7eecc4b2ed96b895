"""The guests of every architecture by script: what is right, what is told from it, and what is released.

They run for real on this machine's device (`test_kvm_machine`) and on the machines of the lab.
"""

import errno
import struct
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import FakeDevice, FakeKVM, fail

from linux.kvm import guests, uapi
from linux.kvm.exits import GuestError, NoGuestError
from linux.kvm.machine import RESUMED_EXITS, VM, CallError

SUM, ANSWER = 0x2269, 0x1357


def port(direction: int = 1, size: int = 2, number: int = 0xF4, count: int = 1, value: int = SUM) -> bytes:
    return struct.pack("=BBHIQH", direction, size, number, count, uapi.RUN_UNION + 16, value)


def store(address: int = 0x1000_0000, value: int = SUM, size: int = 4, write: bool = True) -> bytes:
    return struct.pack("=QI4xI?", address, value, size, write)


def hypercall(value: int = SUM, number: int = 0x58, terminal: int = 0, length: int = 2) -> bytes:
    return struct.pack("=QQ9Q", number, 0, terminal, length, value, *(6 * [0]))


def event(kind: int = 1) -> bytes:
    return struct.pack("=I", kind)


class Script(NamedTuple):
    """What the guest of an architecture makes of ``KVM_RUN``."""

    machine: str
    exits: Sequence[int]
    unions: Sequence[bytes]


X86 = Script("x86_64", (uapi.EXIT_IO, uapi.EXIT_HLT), (port(), b""))
ARM64 = Script("aarch64", (uapi.EXIT_MMIO, uapi.EXIT_SYSTEM_EVENT), (store(), event()))
RISCV64 = ARM64._replace(machine="riscv64")
POWER = Script("ppc64le", 2 * (uapi.EXIT_PAPR_HCALL,), (hypercall(), hypercall(SUM + ANSWER)))
ALL = (X86, X86._replace(machine="i686"), ARM64, RISCV64, POWER, POWER._replace(machine="ppc64"))


def run(kvm: FakeKVM) -> str:
    with kvm.open() as device, VM(device, kvm.machine) as vm, vm.create_vcpu() as vcpu:
        return guests.find(kvm.machine)(vm, vcpu, lambda: False)


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.machine)
def test_the_right_value_is_told(script: Script) -> None:
    assert "0x2269" in run(FakeKVM(script.machine, exits=script.exits, unions=script.unions))


@pytest.mark.parametrize("script", ALL, ids=lambda script: script.machine)
@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (uapi.EXIT_UNKNOWN, "KVM_EXIT_UNKNOWN, hardware exit reason 0x700000003"),
        (uapi.EXIT_EXCEPTION, "KVM_EXIT_EXCEPTION, exception 3, error code 0x7"),
        (uapi.EXIT_SHUTDOWN, "KVM_EXIT_SHUTDOWN"),
        (uapi.EXIT_FAIL_ENTRY, "KVM_EXIT_FAIL_ENTRY, hardware entry failure reason 0x700000003, on CPU 5"),
        (
            uapi.EXIT_INTERNAL_ERROR,
            "KVM_EXIT_INTERNAL_ERROR, suberror 3 (DELIVERY_EV), data 0x5 0x0 0x0 0x0 0x0 0x0 0x0",
        ),
        (uapi.EXIT_RISCV_SBI, "KVM_EXIT_RISCV_SBI, extension 0x700000003, function 0x5"),
        (uapi.EXIT_ARM_NISV, "KVM_EXIT_ARM_NISV, syndrome 0x700000003, address 0x5"),
        (uapi.EXIT_MEMORY_FAULT, "KVM_EXIT_MEMORY_FAULT, flags 0x700000003, address 0x5, 0 bytes"),
        (999, "KVM_EXIT_999"),
    ],
)
def test_another_exit_is_named_with_its_data(script: Script, reason: int, told: str) -> None:
    union = struct.pack("=IIQ", 3, 7, 5).ljust(256, b"\0")
    for position in range(len(script.exits)):
        exits = (*script.exits[:position], reason)
        unions = (*script.unions[:position], union)
        with pytest.raises(GuestError) as caught:
            run(FakeKVM(script.machine, exits=exits, unions=unions))
        right = uapi.EXIT_NAMES[script.exits[position]]
        assert str(caught.value) == f"the guest left by {told}; KVM_EXIT_{right} is right"


WRONG = {
    "x86: read": (X86, 0, port(direction=0), "direction 0"),
    "x86: size": (X86, 0, port(size=1), "size 1"),
    "x86: port": (X86, 0, port(number=0x80), "port 0x80"),
    "x86: count": (X86, 0, port(count=2), "count 2"),
    "x86: value": (X86, 0, port(value=0), "0x0000 to port 0xf4, 0x2269 is right"),
    "x86: data that is not in the structure": (
        X86,
        0,
        struct.pack("=BBHIQ", 1, 2, 0xF4, 1, 1 << 40),
        "one write of 2 bytes",
    ),
    "aarch64: address": (ARM64, 0, store(address=0x1000_0004), "0x10000004"),
    "aarch64: size": (ARM64, 0, store(size=8), "8 bytes"),
    "aarch64: read": (ARM64, 0, store(write=False), "read"),
    "aarch64: value": (ARM64, 0, store(value=0x1234), "0x1234 at 0x10000000, 0x2269 is right"),
    "aarch64: reset": (ARM64, 1, event(2), "system event is 2"),
    "riscv64: value": (RISCV64, 0, store(value=0), "0x0000"),
    "riscv64: crash": (RISCV64, 1, event(3), "system event is 3"),
    "POWER: number": (POWER, 0, hypercall(number=0x54), "hypercall 0x54"),
    "POWER: terminal": (POWER, 0, hypercall(terminal=1), "0x58 with 0x1, 0x2"),
    "POWER: length": (POWER, 1, hypercall(SUM + ANSWER, length=3), "0x58 with 0x0, 0x3"),
    "POWER: value": (POWER, 0, hypercall(0x1234), "0x1234, 0x2269 is right"),
    "POWER: our answer did not come": (POWER, 1, hypercall(SUM), "0x2269; 0x35c0"),
}


@pytest.mark.parametrize(("script", "position", "union", "told"), WRONG.values(), ids=WRONG)
def test_another_value_is_told_from_the_right_one(
    script: Script, position: int, union: bytes, told: str
) -> None:
    unions = list(script.unions)
    unions[position] = union
    with pytest.raises(GuestError, match=told):
        run(FakeKVM(script.machine, exits=script.exits, unions=unions))


@given(
    script=st.sampled_from(ALL),
    exits=st.lists(st.integers(-133, 45) | st.sampled_from(list(uapi.EXIT_NAMES)), min_size=2, max_size=4),
    unions=st.lists(
        st.binary(min_size=1, max_size=256) | st.sampled_from([store(), event(), hypercall(), port()])
    ),
)
def test_nothing_but_the_right_exits_and_values_passes(
    script: Script, exits: list[int], unions: list[bytes]
) -> None:
    before = FakeDevice.open_ones
    kvm = FakeKVM(script.machine, exits=exits, unions=unions)
    told = ""
    try:
        run(kvm)
    except (GuestError, CallError) as error:
        told = str(error)
    seen = [number for number in exits if number >= 0 and number not in RESUMED_EXITS]
    assert told or seen[:2] == list(script.exits)
    assert FakeDevice.open_ones == before
    assert not kvm.mapped


@pytest.mark.parametrize("machine", ["s390x", "loongarch64", "mips64", "aarch64_be", "armv7l", ""])
def test_where_there_is_no_guest_that_is_said(machine: str) -> None:
    kvm = FakeKVM(machine)
    with pytest.raises(NoGuestError, match=f"no guest for {machine}"):
        run(kvm)
    assert "run" not in [name for name, _ in kvm.calls]


def test_without_hypercalls_none_is_made() -> None:
    with pytest.raises(NoGuestError, match="PAPR"):
        run(FakeKVM("ppc64", extensions={uapi.CAP_PPC_PAPR: 0}))


@pytest.mark.parametrize(("problem_state", "calls"), [(0, b"\x44\0\0\x22"), (1, b"\x7c\0\x02\x68")])
def test_power_makes_hypercalls_as_the_module_takes_them(problem_state: int, calls: bytes) -> None:
    kvm = FakeKVM("ppc64le", exits=POWER.exits, unions=POWER.unions)
    kvm.extensions = {uapi.CAP_PPC_GET_PVINFO: problem_state}
    with kvm.open() as device, VM(device, kvm.machine) as vm, vm.create_vcpu() as vcpu:
        guests.find(kvm.machine)(vm, vcpu, lambda: False)
        (memory,) = vm._memories
        code = bytes(memory.bytes)
    words = [code[start : start + 4] for start in range(0, len(code), 4)]
    assert words.count(calls) == 2
    assert len({b"\x44\0\0\x22", b"\x7c\0\x02\x68"}.intersection(words)) == 1


class FailingKVM(FakeKVM):
    """Fails at one call, whichever it is."""

    failing: int = -1
    error: BaseException = OSError()

    def _answer(self, request: int, argument: int | bytearray) -> int:
        if len(self.calls) == self.failing:
            raise self.error
        return super()._answer(request, argument)


@pytest.mark.parametrize("script", [*ALL, Script("s390x", (), ())], ids=lambda script: script.machine)
@pytest.mark.parametrize("error", [fail(errno.EIO), KeyboardInterrupt()], ids=["EIO", "KeyboardInterrupt"])
def test_all_is_released_whichever_call_fails(script: Script, error: BaseException) -> None:
    before = FakeDevice.open_ones
    whole = FakeKVM(script.machine, exits=script.exits, unions=script.unions)
    try:
        run(whole)
    except NoGuestError:
        assert script.machine == "s390x"
    for number in range(len(whole.calls)):
        kvm = FailingKVM(script.machine, exits=script.exits, unions=script.unions)
        kvm.failing, kvm.error = number, error
        with pytest.raises((CallError, KeyboardInterrupt)) as caught:
            run(kvm)
        assert len(kvm.calls) == number
        if isinstance(caught.value, CallError):
            assert caught.value.errno == errno.EIO
        assert FakeDevice.open_ones == before, f"{whole.calls[number]}: a descriptor is open"
        assert not kvm.mapped, f"{whole.calls[number]}: the structure is mapped"


def test_all_is_released_where_the_structure_cannot_be_mapped() -> None:
    before = FakeDevice.open_ones
    with pytest.raises(CallError, match="mmap"):
        run(FakeKVM(errors={"map": errno.ENOMEM}))
    assert FakeDevice.open_ones == before
