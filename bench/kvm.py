"""What each step of the check KVM takes here, in this process; prints a table.

Usage: kvm.py [ROUNDS]. The steps are the check's own: a VM, a vCPU, the guest, its exits timed, all released.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from linux.kvm import guests, latency
from linux.kvm.interrupts import TimeLimit
from linux.kvm.machine import VM
from linux.kvm.uapi import PATH
from preflight.host import Host

PAUSE = 0.02
"""Seconds between two rounds: what the kernel puts off when a VM ends is done by then."""


class Steps:
    """Times of steps, in milliseconds, by name."""

    def __init__(self) -> None:
        """Knows none yet."""
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Times what is done in a ``with`` block."""
        start = time.perf_counter()
        yield
        self.times.setdefault(name, []).append((time.perf_counter() - start) * 1000)


def measure(host: Host, steps: Steps) -> None:
    """Does what the check does, once.

    Raises:
        OSError: The device cannot be opened.
        CallError: A call failed.
        GuestError: The guest failed.
    """
    machine = host.own_architecture
    guest = guests.find(machine)
    with steps("open the device"):
        device = host.open_device(PATH)
    with steps("create a VM"):
        vm = VM(device, machine)
    with steps("create a vCPU"):
        vcpu = vm.create_vcpu()
    with steps("run the guest"), TimeLimit(2, time.monotonic) as limit:
        guest(vm, vcpu, limit.expired)
    with steps(f"time {latency.EXITS} exits"):
        latency.take(device, vcpu, monotonic=time.monotonic, nanoseconds=time.perf_counter_ns)
    with steps("release all"):
        vcpu.close()
        vm.close()
        device.close()


def main(rounds: int) -> None:
    """Measures and prints."""
    host, steps = Host(), Steps()
    for _ in range(rounds):
        time.sleep(PAUSE)
        with steps("together"):
            measure(host, steps)
    print(f"{'':<18} {'median ms':>10} {'min':>8}")
    for name, times in steps.times.items():
        print(f"{name:<18} {statistics.median(times):10.2f} {min(times):8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
