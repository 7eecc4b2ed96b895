"""The KVM interface: numbers against the installed headers, and guests on the real device."""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from memoryhost import FakeKVM
from realkvm import needs_kvm

from linux.kvm import guest_x86, uapi
from linux.kvm.exits import GuestError, GuestTimeoutError
from linux.kvm.interrupts import TimeLimit
from linux.kvm.machine import VM, CallError, Memory
from preflight.host import Host

X86 = os.uname().machine in ("x86_64", "i686")
needs_x86 = pytest.mark.skipif(not X86, reason="the guest is x86 code")

MACROS = {
    "KVM_GET_API_VERSION": "get_api_version",
    "KVM_CREATE_VM": "create_vm",
    "KVM_CHECK_EXTENSION": "check_extension",
    "KVM_GET_VCPU_MMAP_SIZE": "get_vcpu_mmap_size",
    "KVM_CREATE_VCPU": "create_vcpu",
    "KVM_SET_USER_MEMORY_REGION": "set_user_memory_region",
    "KVM_SET_TSS_ADDR": "set_tss_addr",
    "KVM_RUN": "run",
    "KVM_SET_REGS": "set_regs",
    "KVM_GET_SREGS": "get_sregs",
    "KVM_SET_SREGS": "set_sregs",
}
CONSTANTS = {
    "KVM_API_VERSION": uapi.API_VERSION,
    "KVM_CAP_SET_TSS_ADDR": uapi.CAP_SET_TSS_ADDR,
    "KVM_CAP_ARM_VM_IPA_SIZE": uapi.CAP_ARM_VM_IPA_SIZE,
    "KVM_EXIT_IO_OUT": uapi.EXIT_IO_OUT,
    "offsetof(struct kvm_run, exit_reason)": uapi.RUN_EXIT_REASON,
    "offsetof(struct kvm_run, io)": uapi.RUN_UNION,
    "offsetof(struct kvm_sregs, cs)": 0,
    "offsetof(struct kvm_segment, selector)": 12,
    "sizeof(struct kvm_userspace_memory_region)": 32,
    "offsetof(struct kvm_regs, rip)": 16 * 8,
}


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to read the headers with")
@pytest.mark.skipif(not Path("/usr/include/linux/kvm.h").exists(), reason="no kernel headers are installed")
@needs_x86
def test_numbers_and_structures_are_those_of_the_headers(tmp_path: Path) -> None:
    requests = uapi.Requests(os.uname().machine)
    expected = {macro: getattr(requests, name) for macro, name in MACROS.items()} | CONSTANTS
    header = Path("/usr/include/linux/kvm.h").read_text()
    defined = set(re.findall(r"#define KVM_EXIT_(\w+)\s", header))
    expected |= {f"KVM_EXIT_{name}": number for number, name in uapi.EXIT_NAMES.items() if name in defined}
    program = ["#include <stddef.h>", "#include <stdio.h>", "#include <linux/kvm.h>", "int main(void) {"]
    program += [f'  printf("%lld\\n", (long long)({macro}));' for macro in expected]
    (tmp_path / "numbers.c").write_text("\n".join([*program, "  return 0;", "}"]))
    subprocess.run(["cc", "-o", tmp_path / "numbers", tmp_path / "numbers.c"], check=True)
    printed = subprocess.run(
        [tmp_path / "numbers"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert dict(zip(expected, map(int, printed), strict=True)) == expected


@pytest.mark.parametrize(
    ("machine", "get_api_version", "set_user_memory_region", "get_sregs"),
    [
        ("x86_64", 0xAE00, 0x4020AE46, 0x8138AE83),
        ("s390x", 0xAE00, 0x4020AE46, 0x8138AE83),
        # include/asm/ioctl.h of these: _IOC_NONE is 1, _IOC_READ 2, _IOC_WRITE 4, 13 bits of size.
        ("ppc64le", 0x2000AE00, 0x8020AE46, 0x4138AE83),
        ("mips64", 0x2000AE00, 0x8020AE46, 0x4138AE83),
    ],
)
def test_the_direction_of_a_request(
    machine: str, get_api_version: int, set_user_memory_region: int, get_sregs: int
) -> None:
    requests = uapi.Requests(machine)
    assert requests.get_api_version == get_api_version
    assert requests.set_user_memory_region == set_user_memory_region
    assert requests.get_sregs == get_sregs


def test_memory_is_aligned_and_stays_where_it_is() -> None:
    memory = Memory(0x2000)
    assert memory.address % os.sysconf("SC_PAGESIZE") == 0
    assert len(memory.bytes) == 0x2000
    with pytest.raises(BufferError):
        memory._array.append(0)


@needs_kvm
@needs_x86
def test_a_guest_runs() -> None:
    limit = TimeLimit(10, time.monotonic)
    with (
        Host().open_device("/dev/kvm") as device,
        VM(device, os.uname().machine) as vm,
        vm.create_vcpu() as vcpu,
    ):
        assert "0x2269" in guest_x86.run(vm, vcpu, limit.expired)


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


def test_a_failed_call_is_named() -> None:
    kvm = FakeKVM(errors={"create_vcpu": 22})
    with (
        kvm.open() as device,
        VM(device, "x86_64") as vm,
        pytest.raises(CallError, match="KVM_CREATE_VCPU") as caught,
    ):
        vm.create_vcpu()
    assert caught.value.errno == 22
