"""Every call to the real KVM failing in turn, and guests that do other things than they should.

A seccomp filter gives a call an error; what is before and behind it is the kernel's. strace gives what a
filter cannot: an error by the number of the call, another value, a signal, a delay.
"""

import errno
import functools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
import situations
from program import command
from realkvm import needs_kvm

from checks import kvm as module
from checks.kvm import kvm
from linux.diagnosis import calls, confinement, node, own_dev, refusal
from linux.kvm import guest_x86
from preflight.check import Run
from preflight.child import ask
from preflight.host import Host
from preflight.result import Finding

pytestmark = [needs_kvm, situations.needs_x86_64]

IMPORTED = (calls, confinement, node, own_dev, refusal)
"""What a failing check imports; a child need not."""

EXHAUSTED = ("EAGAIN", "EMFILE", "ENFILE", "ENOMEM")
REFUSED = ("EACCES", "ENOSYS", "EPERM")
FEW = ("EBUSY", "EFAULT", "EINVAL", "EIO", "ENOTTY")
MANY = (
    *("E2BIG", "EBADF", "EBADFD", "EEXIST", "ENODATA", "ENODEV", "ENOENT", "ENOEXEC", "ENOSPC", "ENXIO"),
    *("ENOTSUP", "EOVERFLOW", "ERANGE", "ESRCH", *FEW),
)

REQUESTS = {
    0xAE00: ("KVM_GET_API_VERSION", "WrongDevice"),
    0xAE01: ("KVM_CREATE_VM", "CreateVMFailed"),
    0xAE03: ("KVM_CHECK_EXTENSION", "CreateVMFailed"),
    0xAE04: ("KVM_GET_VCPU_MMAP_SIZE", "CreateVCPUFailed"),
    0xAE41: ("KVM_CREATE_VCPU", "CreateVCPUFailed"),
    0xAE47: ("KVM_SET_TSS_ADDR", "GuestFailed"),
    0x4020AE46: ("KVM_SET_USER_MEMORY_REGION", "GuestFailed"),
    0x8138AE83: ("KVM_GET_SREGS", "GuestFailed"),
    0x4138AE84: ("KVM_SET_SREGS", "GuestFailed"),
    0x4090AE82: ("KVM_SET_REGS", "GuestFailed"),
    0xAE80: ("KVM_RUN", "GuestFailed"),
}


def in_children(situations_: dict[str, Callable[[], object]]) -> Iterator[tuple[str, list[str]]]:
    """Asks the check in a forked child for each situation; yields reason, status, message and hint."""
    for name, prepare in situations_.items():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                prepare()
                found = ask(kvm, Host(), Run())
                answer = [found.outcome.reason, found.outcome.status, found.message, found.hint]
                os.write(writer, json.dumps(answer).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as file:
            data = file.read()
        os.waitpid(child, 0)
        assert data, f"{name}: no answer"
        yield name, json.loads(data)


def failing(request: int, name: str) -> Callable[[], object]:
    return lambda: situations.answer(situations.IOCTL, getattr(errno, name), argument=(1, request))


@pytest.mark.parametrize("request_number", REQUESTS, ids=[name for name, _ in REQUESTS.values()])
def test_every_call_failing_with_every_error(request_number: int) -> None:
    call, other = REQUESTS[request_number]
    others = MANY if call in ("KVM_GET_API_VERSION", "KVM_CREATE_VM", "KVM_RUN") else FEW
    children = {name: failing(request_number, name) for name in (*EXHAUSTED, *REFUSED, *others)}
    for name, (reason, status, message, hint) in in_children(children):
        expected = other
        if name in EXHAUSTED:
            expected = "ResourceExhausted"
        elif name in REFUSED:
            expected = "DeviceCgroupDenied"
        elif (call, name) == ("KVM_CREATE_VM", "EBUSY"):
            expected = "HypervisorBusy"
        assert reason == expected, (name, message)
        assert status == ("Unknown" if name in (*EXHAUSTED, *REFUSED) else "Fail")
        assert message.startswith(f"{call}: ")
        assert f"({name})" in message
        assert ("seccomp (a filter is in force)" in message) is (name not in EXHAUSTED)
        assert hint


def test_a_call_that_is_interrupted_for_ever_is_given_up() -> None:
    children = {
        call: failing(request, "EINTR") for request, (call, _) in REQUESTS.items() if call != "KVM_RUN"
    }
    for call, (_, status, message, hint) in in_children(children):
        assert status == "Fail"
        assert message.startswith(f"{call}: ")
        assert "(EINTR)" in message
        assert hint


def test_a_run_that_is_interrupted_for_ever_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GUEST_SECONDS", 0.05)
    ((_, (reason, status, _, hint)),) = in_children({"KVM_RUN": failing(0xAE80, "EINTR")})
    assert (reason, status) == ("GuestTimedOut", "Fail")
    assert hint


def test_a_mapping_that_fails() -> None:
    """Only the vCPU's own state is mapped shared."""
    shared = (3, 1)  # MAP_SHARED
    children = {
        name: functools.partial(situations.answer, situations.MMAP, getattr(errno, name), argument=shared)
        for name in ("EINVAL", "ENODEV", "EACCES", "ENOMEM")
    }
    told = dict(in_children(children))
    assert {name: answer[0] for name, answer in told.items()} == {
        "EINVAL": "CreateVCPUFailed",
        "ENODEV": "CreateVCPUFailed",
        "EACCES": "DeviceCgroupDenied",
        "ENOMEM": "ResourceExhausted",
    }
    assert all("mmap of the vCPU" in answer[2] for answer in told.values())


UP_TO_OUT = guest_x86.CODE[: guest_x86.CODE.index(b"\xef") + 1]
"""The guest's code up to its write to the port."""


def with_code(code: bytes, monkeypatch: pytest.MonkeyPatch) -> Finding:
    guest = functools.partial(guest_x86.run, code=code)
    monkeypatch.setattr(module.guests, "find", lambda machine: guest)
    return kvm(Host(), Run())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"\xf4", "KVM_EXIT_HLT; KVM_EXIT_IO is right"),
        (b"\xa2\x00\x80", "KVM_EXIT_MMIO, address 0x8000"),
        (b"\xa0\x00\x80", "KVM_EXIT_MMIO, address 0x8000"),
        (b"\xb8\x00\x00\xba\xf4\x00\xef\xf4", "wrote 0x0000 to port 0xf4, 0x2269 is right"),
        (b"\xba\x80\x00\xef\xf4", "port 0x80"),
        (b"\xba\xf4\x00\xee\xf4", "size 1"),
        (b"\xba\xf4\x00\xed\xf4", "direction 0"),
        (UP_TO_OUT + b"\xef\xf4", "port 0xf4; KVM_EXIT_HLT is right"),
        (UP_TO_OUT + b"\xa2\x00\x80", "KVM_EXIT_MMIO"),
        (b"\xea\x00\x00\x00\x80", "KVM_EXIT_"),  # a jump to where no memory is
        (b"\x0f\x0b", "KVM_EXIT_"),  # an invalid instruction, without a handler: a triple fault
        (
            b"\x0f\x01\x1e\x10\x10\xcc".ljust(16, b"\x90") + bytes(6),
            "KVM_EXIT_",
        ),  # an empty table of interrupts
        (b"", "KVM_EXIT_"),  # add [bx+si], al: memory that is not there
    ],
)
def test_a_guest_that_does_another_thing(code: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GUEST_SECONDS", 30.0)
    finding = with_code(code, monkeypatch)
    assert finding.outcome is module.GUEST_FAILED
    assert words in finding.message
    assert finding.hint


@pytest.mark.parametrize("code", [b"\xeb\xfe", UP_TO_OUT + b"\xeb\xfe"])
def test_a_guest_that_never_ends(code: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GUEST_SECONDS", 0.1)
    started = time.monotonic()
    finding = with_code(code, monkeypatch)
    assert finding.outcome is module.GUEST_TIMED_OUT
    assert time.monotonic() - started < 30.0
    assert finding.hint


def test_a_storm_of_signals() -> None:
    """Each interrupts the call that it comes in; the guest runs all the same."""
    us = os.getpid()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    storm = os.fork()
    if storm == 0:
        try:
            while os.getppid() == us:
                os.kill(us, signal.SIGUSR1)
                time.sleep(0.0002)
        finally:
            os._exit(0)
    try:
        outcomes = [kvm(Host(), Run()).outcome for _ in range(10)]
    finally:
        os.kill(storm, signal.SIGKILL)
        os.waitpid(storm, 0)
        signal.signal(signal.SIGUSR1, before)
    assert outcomes == [module.GUEST_RAN] * 10


STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="no strace to put errors in with")


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, dict[str, dict[str, str]]]]:
    """Runs the program with one expression of strace in force for the device; returns status and results."""
    trace = tmp_path_factory.mktemp("strace") / "trace"
    config = trace.with_name("config.toml")

    def run(inject: str, *, hangs: bool) -> tuple[int, dict[str, dict[str, str]]]:
        wrapper = ["strace", "-f", "-qq", "-o", str(trace), "-P", "/dev/kvm", "-e", f"inject={inject}"]
        config.write_text(f"[checks.KVM]\ntimeout = {2 if hangs else 60}\n")
        words = ["run", "-o", "json", "--only", "KVM,Memory", "--config", str(config)]
        ended = subprocess.run(
            [*wrapper, *command(*words)], capture_output=True, text=True, check=False, timeout=100
        )
        if not ended.stdout and "ptrace" in ended.stderr:
            pytest.skip(f"strace may not trace here: {ended.stderr}")
        assert [line for line in ended.stderr.splitlines() if not line.startswith("strace: ")] == []
        told = trace.read_text()
        if not any(word in told for word in ("INJECTED", "DELAYED", "+++ killed", "--- SIG")):
            pytest.skip("this strace does not put errors in by path")
        results = json.loads(ended.stdout)["results"]
        return ended.returncode, {result["checkName"]: result for result in results}

    return run


@needs_strace
@pytest.mark.parametrize(
    ("inject", "status", "reason", "words"),
    [
        ("openat:error=ENXIO", "Fail", "StaleDevice", "ENXIO"),
        ("openat:error=ENODEV", "Fail", "StaleDevice", "no driver answers"),
        ("openat:error=EPERM", "Unknown", "DeviceCgroupDenied", "seccomp is off"),
        ("openat:error=EACCES", "Fail", "PermissionDenied", "and access(2) agrees"),
        ("openat:error=ENFILE", "Unknown", "ResourceExhausted", "ENFILE"),
        ("openat:error=EBUSY", "Fail", "HypervisorBusy", "another hypervisor"),
        ("openat:error=EIO", "Fail", "CreateVMFailed", "EIO"),
        ("openat:error=EINTR:when=1", "Pass", "GuestRan", "opens"),
        ("ioctl:error=ENOTTY:when=1", "Fail", "WrongDevice", "ENOTTY"),
        ("ioctl:error=EINTR:when=1", "Pass", "GuestRan", "opens"),
        ("ioctl:retval=11:when=1", "Fail", "WrongDevice", "gives 11, not 12"),
        ("ioctl:retval=13:when=1", "Fail", "WrongDevice", "gives 13, not 12"),
        ("ioctl:error=EBUSY:when=2", "Fail", "HypervisorBusy", "no module of another hypervisor is loaded"),
        ("ioctl:error=EIO:when=2", "Fail", "CreateVMFailed", "another hypervisor holds"),
        ("ioctl:error=EINTR:when=2", "Pass", "GuestRan", "opens"),
        ("ioctl:retval=0:when=3", "Fail", "CreateVCPUFailed", "KVM_GET_VCPU_MMAP_SIZE"),
        ("ioctl:signal=KILL:when=2", "Unknown", "Killed", "SIGKILL"),
        ("ioctl:signal=SEGV:when=2", "Unknown", "Crashed", "SIGSEGV"),
        ("ioctl:signal=STOP:when=2", "Unknown", "TimedOut", "no answer within 2 s; "),
        ("ioctl:delay_enter=6000000:when=2", "Unknown", "TimedOut", "2 s; a debugger has stopped it"),
        ("openat:delay_enter=6000000", "Unknown", "TimedOut", "2 s; a debugger has stopped it"),
    ],
)
def test_what_strace_puts_in(
    traced: Callable[..., tuple[int, dict[str, dict[str, str]]]],
    inject: str,
    status: str,
    reason: str,
    words: str,
) -> None:
    """The first ioctl is ``KVM_GET_API_VERSION``, the second ``KVM_CREATE_VM``; the other checks go on."""
    ended, results = traced(inject, hangs=reason == "TimedOut")
    assert (results["KVM"]["reason"], results["KVM"]["status"]) == (reason, status)
    assert words in results["KVM"]["message"]
    assert status == "Pass" or results["KVM"]["hint"]
    assert ended == (0 if status == "Pass" else 1)
    assert results["Memory"]["status"] == "Pass"
