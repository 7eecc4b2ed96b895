"""The check GuestExitLatency, and the measurement behind it: by script, and with a real guest."""

import errno
import signal
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import FakeKVM
from realkvm import needs_kvm

from checks import guest_exit_latency as module
from checks import kvm as kvm_module
from checks.guest_exit_latency import guest_exit_latency
from linux.kvm import guests, latency, uapi
from linux.kvm.latency import KEY, Timing
from linux.kvm.machine import VM
from preflight.check import Run
from preflight.host import Host
from preflight.result import Finding, Outcome

WORKS = kvm_module.GUEST_RAN("a guest ran")
TIMING = Timing(exits=100, fastest=8000, median=8400, slowest_decile=9100, bare=1200)


def ask(told: str | None, limit: int = 20) -> Finding:
    found = WORKS._replace(evidence={} if told is None else {KEY: told})
    finding = guest_exit_latency(
        Host(), Run(findings={"KVM": found}, settings={"slow_above_microseconds": limit})
    )
    assert finding.hint or finding.outcome in (module.FAST_ENOUGH, module.NO_GUEST)
    return finding


@pytest.mark.parametrize(
    ("median", "limit", "outcome", "words"),
    [
        (1400, 20, module.FAST_ENOUGH, "takes 1.4 µs (bare metal: 1 to 3 µs): 10,000 exits a second"),
        (20000, 20, module.FAST_ENOUGH, "take 20.0% of a CPU"),
        (20001, 20, module.SLOW, "VMs run, but slowly: "),
        (85000, 20, module.SLOW, "take 85.0% of a CPU; above 20 µs counts as slow"),
        (85000, 100, module.FAST_ENOUGH, "85.0 µs"),
        (250000, 20, module.SLOW, "take 2.5 CPUs; above"),
        (0, 1, module.FAST_ENOUGH, "0.0 µs"),
    ],
)
def test_the_median_against_the_limit(median: int, limit: int, outcome: Outcome, words: str) -> None:
    finding = ask(str(TIMING._replace(median=median)), limit)
    assert finding.outcome is outcome
    assert words in finding.message
    assert finding.evidence["exits"] == "100"
    assert finding.evidence["fastest"] == "8.0 µs"
    assert finding.evidence["slowest decile"] == "9.1 µs"
    assert finding.evidence["a call that enters no guest"] == "1.2 µs"


def test_where_no_guest_ran_there_is_nothing_to_time() -> None:
    assert ask(None).outcome is module.NO_GUEST


def test_a_few_exits_tell_nothing() -> None:
    assert ask(str(TIMING._replace(exits=10, median=30000))).outcome is module.SLOW
    finding = ask(str(TIMING._replace(exits=9, median=30000)))
    assert finding.outcome is module.NOT_MEASURED
    assert "exits of a guest within 20 ms: 9, the fastest in 8.0 µs" in finding.message


def test_why_nothing_was_measured_is_told() -> None:
    finding = ask("not timed: KVM_RUN: Input/output error")
    assert finding.outcome is module.NOT_MEASURED
    assert finding.message == "not timed: KVM_RUN: Input/output error"


@given(*(st.integers(0, 10**12 - 1) for _ in range(4)), st.integers(1, 999_999))
def test_a_timing_is_handed_on_as_text(fastest: int, median: int, decile: int, bare: int, exits: int) -> None:
    timing = Timing(exits, fastest, median, decile, bare)
    assert Timing.parse(str(timing)) == timing


@given(st.text())
def test_other_text_is_no_timing(text: str) -> None:
    assert Timing.parse(text) is None


def clock(step: int) -> Iterator[int]:
    return iter(range(0, 10**9, step))


def take(kvm: FakeKVM, *, seconds: float = 0.0, step: int = 5000) -> str:
    ticks = clock(step)
    moments = iter([index * seconds for index in range(10**5)])
    with kvm.open() as device, VM(device, kvm.machine) as vm, vm.create_vcpu() as vcpu:
        return latency.take(device, vcpu, monotonic=lambda: next(moments), nanoseconds=lambda: next(ticks))


ENDLESS = {
    "x86_64": uapi.EXIT_IO,
    "aarch64": uapi.EXIT_MMIO,
    "riscv64": uapi.EXIT_MMIO,
    "ppc64le": uapi.EXIT_PAPR_HCALL,
}


@pytest.mark.parametrize(("machine", "reason"), ENDLESS.items())
def test_exits_are_counted_and_timed(machine: str, reason: int) -> None:
    kvm = FakeKVM(machine, exits=[reason] * 500)
    assert Timing.parse(take(kvm)) == Timing(100, 5000, 5000, 5000, 5000)
    assert [name for name, _ in kvm.calls].count("run") == 100


@pytest.mark.parametrize(("machine", "calls"), [("aarch64", 2), ("riscv64", 2)])
def test_a_guest_that_powered_off_is_switched_on_again(machine: str, calls: int) -> None:
    kvm = FakeKVM(machine, exits=[uapi.EXIT_MMIO] * 500)
    take(kvm)
    names = [name for name, _ in kvm.calls]
    assert names[names.index("run") - calls : names.index("run")] == ["set_mp_state", "set_one_reg"]


@pytest.mark.parametrize(
    ("kvm", "told"),
    [
        (FakeKVM(exits=[]), "not timed: after 0 exits came KVM_EXIT_UNKNOWN"),
        (FakeKVM(exits=[2] * 30 + [8]), "not timed: after 30 exits came KVM_EXIT_SHUTDOWN"),
        (FakeKVM(exits=[2, 2, -errno.EIO]), "not timed: [Errno 5] Input/output error"),
        (FakeKVM(exits=[2] * 100, errors={"get_api_version": errno.EPERM}), "not timed: [Errno 1]"),
        (FakeKVM("aarch64", errors={"set_mp_state": errno.EINVAL}), "not timed: KVM_SET_MP_STATE: Invalid"),
        (FakeKVM("s390x"), "not timed: there is no guest for s390x"),
    ],
)
def test_what_comes_in_an_exits_place_is_told(kvm: FakeKVM, told: str) -> None:
    assert take(kvm).startswith(told)


def test_an_interrupted_exit_does_not_count() -> None:
    timing = Timing.parse(take(FakeKVM(exits=[2, -errno.EINTR] * 150)))
    assert timing is not None
    assert timing.exits == 100


def test_it_ends_when_the_time_is_over() -> None:
    timing = Timing.parse(take(FakeKVM(exits=[2] * 500), seconds=0.001))
    assert timing is not None
    assert 10 < timing.exits < 25
    assert take(FakeKVM(exits=[2] * 500), seconds=1.0) == "not timed: not one exit within 20 ms"


@needs_kvm
@pytest.mark.skipif(
    guests.repeating(Host().own_architecture) is None, reason="no guest for this architecture"
)
class TestARealGuest:
    def test_its_exits_are_timed(self) -> None:
        finding = kvm_module.kvm(Host(), Run())
        timing = Timing.parse(finding.evidence[KEY])
        assert timing is not None
        assert 0 < timing.fastest <= timing.median <= timing.slowest_decile
        assert timing.bare < timing.median
        assert ask(finding.evidence[KEY]).outcome in (module.FAST_ENOUGH, module.SLOW)

    def test_it_does_not_take_more_than_its_time(self) -> None:
        machine = Host().own_architecture
        with Host().open_device("/dev/kvm") as device, VM(device, machine) as vm, vm.create_vcpu() as vcpu:
            guests.find(machine)(vm, vcpu, lambda: False)
            started = time.monotonic()
            latency.take(device, vcpu, monotonic=time.monotonic, nanoseconds=time.perf_counter_ns)
            assert time.monotonic() - started < 30

    def test_a_guest_that_makes_no_exit_is_ended(self) -> None:
        """The guest of x86 is replaced by an endless loop behind our back."""
        machine = Host().own_architecture
        if machine != "x86_64":
            pytest.skip("the loop is x86 code")
        before = signal.getsignal(signal.SIGALRM)
        with Host().open_device("/dev/kvm") as device, VM(device, machine) as vm, vm.create_vcpu() as vcpu:
            guests.find(machine)(vm, vcpu, lambda: False)
            code = vm._memories[0].bytes
            end = bytes(code).index(b"\xf4\xef\xeb\xfd")
            code[end + 1 : end + 3] = b"\xeb\xfe"
            told = latency.take(device, vcpu, monotonic=time.monotonic, nanoseconds=time.perf_counter_ns)
        assert told == "not timed: not one exit within 20 ms"
        assert signal.getsignal(signal.SIGALRM) is before
