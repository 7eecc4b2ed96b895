"""A VM and a vCPU by script, and guests on the real device."""

import errno
import os
import signal
import struct
import time
from collections.abc import Callable
from contextlib import nullcontext

import pytest
from memoryhost import FakeKVM
from realkvm import needs_kvm

from linux.kvm import guest_x86, guests, uapi
from linux.kvm.exits import GuestError, GuestTimeoutError, NoGuestError
from linux.kvm.interrupts import TimeLimit
from linux.kvm.machine import MAX_RESUMES, VM, CallError, Memory
from preflight.host import Host

X86 = os.uname().machine in ("x86_64", "i686")
needs_x86 = pytest.mark.skipif(not X86, reason="the guest is x86 code")


def test_memory_is_aligned_and_stays_where_it_is() -> None:
    memory = Memory(0x2000)
    assert memory.address % os.sysconf("SC_PAGESIZE") == 0
    assert len(memory.bytes) == 0x2000
    with pytest.raises(BufferError):
        memory._array.append(0)


@needs_kvm
def test_a_guest_runs() -> None:
    limit = TimeLimit(10, time.monotonic)
    machine = os.uname().machine
    with Host().open_device("/dev/kvm") as device, VM(device, machine) as vm, vm.create_vcpu() as vcpu:
        try:
            assert "0x2269" in guests.find(machine)(vm, vcpu, limit.expired)
        except NoGuestError as error:
            pytest.skip(str(error))


@needs_kvm
@needs_x86
@pytest.mark.parametrize(
    "code", [b"\xf4", b"\xb8\0\0\xba\xf4\0\xef\xf4", b"\xba\x80\0\xef\xf4", b"\xba\xf4\0\xec\xf4"]
)
def test_another_guest_is_told_from_ours(code: bytes) -> None:
    with (
        Host().open_device("/dev/kvm") as device,
        VM(device, os.uname().machine) as vm,
        vm.create_vcpu() as vcpu,
        pytest.raises(GuestError),
    ):
        guest_x86.run(vm, vcpu, lambda: False, code=code)


@needs_kvm
@needs_x86
def test_a_guest_that_loops_for_ever_is_ended() -> None:
    with (
        Host().open_device("/dev/kvm") as device,
        VM(device, os.uname().machine) as vm,
        vm.create_vcpu() as vcpu,
        TimeLimit(0.05, time.monotonic) as limit,
        pytest.raises(GuestTimeoutError),
    ):
        guest_x86.run(vm, vcpu, limit.expired, code=b"\xeb\xfe")


@needs_kvm
@needs_x86
def test_a_guest_that_is_interrupted_again_and_again_finishes() -> None:
    """A loop of 2^17 rounds, under a timer of a millisecond: KVM_RUN answers EINTR and is resumed."""
    code = b"\xbe\x02\x00\xb9\xff\xff\xe2\xfe\x4e\x75\xf8" + b"\xb8\x69\x22" + guest_x86.CODE[4:]
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    timer = signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        with (
            Host().open_device("/dev/kvm") as device,
            VM(device, os.uname().machine) as vm,
            vm.create_vcpu() as vcpu,
        ):
            assert "0x2269" in guest_x86.run(vm, vcpu, lambda: False, code=code)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


@needs_kvm
@needs_x86
def test_nothing_stays_open() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for code in (guest_x86.CODE, b"\xf4"):
        with (
            Host().open_device("/dev/kvm") as device,
            VM(device, os.uname().machine) as vm,
            vm.create_vcpu() as vcpu,
            nullcontext() if code == guest_x86.CODE else pytest.raises(GuestError),
        ):
            guest_x86.run(vm, vcpu, lambda: False, code=code)
    assert descriptors() == before


def test_the_time_limit_puts_handler_and_timer_back() -> None:
    def handler(number: int, frame: object) -> None: ...

    before, timer = signal.signal(signal.SIGALRM, handler), signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with TimeLimit(50, time.monotonic):
            assert signal.getsignal(signal.SIGALRM) is not handler
        assert signal.getsignal(signal.SIGALRM) is handler
        assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("machine", "extensions", "vm_type"),
    [
        ("x86_64", {}, 0),
        ("s390x", {}, 0),
        ("loongarch64", {}, 0),
        ("riscv64", {}, 0),
        ("aarch64", {uapi.CAP_ARM_VM_IPA_SIZE: 36}, 36),
        ("aarch64_be", {uapi.CAP_ARM_VM_IPA_SIZE: 36}, 36),
        ("aarch64", {uapi.CAP_ARM_VM_IPA_SIZE: 48}, 0),
        ("aarch64", {uapi.CAP_ARM_VM_IPA_SIZE: 0}, 0),
        ("mips64", {uapi.CAP_MIPS_VZ: 1}, 1),
        ("mips64", {uapi.CAP_MIPS_VZ: 0}, 0),
    ],
)
def test_the_type_of_a_vm(machine: str, extensions: dict[int, int], vm_type: int) -> None:
    kvm = FakeKVM(machine=machine, extensions=extensions)
    with kvm.open() as device, VM(device, machine):
        assert kvm.calls[-1] == ("create_vm", vm_type)


def test_a_vm_gives_its_memory_back() -> None:
    with FakeKVM().open() as device, VM(device, "x86_64") as vm:
        vm.add_memory(Memory(0x1000), 0)
        vm.add_memory(Memory(0x1000), 0x1000)
        assert len(vm._memories) == 2
    assert vm._memories == []


@pytest.mark.parametrize("size", [0, 1, uapi.RUN_LEAST_SIZE - 1])
def test_a_structure_that_is_too_small_is_refused(size: int) -> None:
    kvm = FakeKVM(mmap_size=size)
    with (
        kvm.open() as device,
        VM(device, "x86_64") as vm,
        pytest.raises(CallError, match="too few") as caught,
    ):
        vm.create_vcpu()
    assert caught.value.call == "KVM_GET_VCPU_MMAP_SIZE"


def enter(*exits: int, expired: Callable[[], bool] = lambda: False) -> int:
    kvm = FakeKVM(exits=exits, mmap_size=uapi.RUN_LEAST_SIZE + 1)
    with kvm.open() as device, VM(device, "x86_64") as vm, vm.create_vcpu() as vcpu:
        return vcpu.enter(expired)


@pytest.mark.parametrize(
    "before",
    [
        (),
        (-errno.EINTR,),
        (-errno.EAGAIN,),
        (uapi.EXIT_INTR,),
        (uapi.EXIT_IRQ_WINDOW_OPEN,),
        (-errno.EINTR, uapi.EXIT_IRQ_WINDOW_OPEN, -errno.EAGAIN, uapi.EXIT_INTR, -errno.EINTR),
        MAX_RESUMES * (-errno.EAGAIN,),
        10 * MAX_RESUMES * (-errno.EINTR,),
    ],
)
def test_what_asks_nothing_of_us_is_resumed(before: tuple[int, ...]) -> None:
    assert enter(*before, uapi.EXIT_HLT) == uapi.EXIT_HLT


def test_what_is_resumed_ends_in_time() -> None:
    for again in (-errno.EINTR, -errno.EAGAIN, uapi.EXIT_INTR, uapi.EXIT_IRQ_WINDOW_OPEN):
        with pytest.raises(GuestTimeoutError):
            enter(again, again, uapi.EXIT_HLT, expired=lambda: True)


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOEXEC,
        errno.EFAULT,
        errno.EPERM,
        errno.EINVAL,
        errno.ENOSYS,
        errno.EIO,
        errno.EBUSY,
        errno.ENOMEM,
    ],
)
def test_a_run_that_fails_is_named(number: int) -> None:
    with pytest.raises(CallError, match="KVM_RUN") as caught:
        enter(-number, uapi.EXIT_HLT)
    assert caught.value.errno == number


def test_a_fault_of_memory_is_told_with_its_address() -> None:
    """KVM_RUN fails, and leaves an exit too (api.rst, KVM_EXIT_MEMORY_FAULT)."""
    kvm = FakeKVM(errors={"run": errno.EFAULT})
    with kvm.open() as device, VM(device, "x86_64") as vm, vm.create_vcpu() as vcpu:
        struct.pack_into("=I", vcpu.run, uapi.RUN_EXIT_REASON, uapi.EXIT_MEMORY_FAULT)
        struct.pack_into("=QQQ", vcpu.run, uapi.RUN_UNION, 8, 0x1000, 0x2000)
        with pytest.raises(GuestError, match=r"flags 0x8, address 0x1000, 8192 bytes \(Bad address\)"):
            vcpu.enter(lambda: False)


def test_a_run_that_is_put_off_for_ever_is_given_up() -> None:
    with pytest.raises(CallError) as caught:
        enter(*(MAX_RESUMES + 1) * (-errno.EAGAIN,))
    assert (caught.value.call, caught.value.errno) == ("KVM_RUN", errno.EAGAIN)


def test_a_failed_call_is_named() -> None:
    kvm = FakeKVM(errors={"create_vcpu": 22})
    with (
        kvm.open() as device,
        VM(device, "x86_64") as vm,
        pytest.raises(CallError, match="KVM_CREATE_VCPU") as caught,
    ):
        vm.create_vcpu()
    assert caught.value.errno == 22
