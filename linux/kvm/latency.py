"""How long a guest's exit to user space and back takes.

Once a guest has done what it has to, it makes one exit again and again (`guests.repeating`); each
``KVM_RUN`` is timed. What is timed holds what Python adds: `Timing.bare` is how long an ioctl takes on the
same way that enters no guest (``KVM_GET_API_VERSION``).
"""

import struct
from collections.abc import Callable
from typing import NamedTuple, Self

from linux.kvm import guests, uapi
from linux.kvm.exits import describe
from linux.kvm.interrupts import TimeLimit
from linux.kvm.machine import VCPU, CallError, Descriptor

KEY = "KVM_RUN: exits"
"""Key of evidence under which a `Timing` is handed on."""

EXITS = 100
"""Exits that are timed."""

SECONDS = 0.02
"""Time after which no further exit is made."""

BARE_CALLS = 20

MAX_DIGITS = 12
"""Digits of a number that is handed on: more nanoseconds than a check may take."""


class Timing(NamedTuple):
    """How long exits took; times are nanoseconds.

    Attributes:
        exits: How many were timed, at least one.
        fastest: The fastest.
        median: The median.
        slowest_decile: What nine of ten did not exceed.
        bare: The median of an ioctl that enters no guest.
    """

    exits: int
    fastest: int
    median: int
    slowest_decile: int
    bare: int

    def __str__(self) -> str:
        """Returns the form in which it is handed on as evidence."""
        return (
            f"{self.exits} exits, ns: fastest {self.fastest}, median {self.median}, "
            f"slowest decile {self.slowest_decile}, without a guest {self.bare}"
        )

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Reads the form in which it is handed on, None where it is another text."""
        words = text.replace(",", "").split(" ")
        numbers = [
            int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= MAX_DIGITS
        ]
        if len(numbers) != len(cls._fields):
            return None
        timing = cls(*numbers)
        return timing if str(timing) == text else None


def take(
    system: Descriptor, vcpu: VCPU, *, monotonic: Callable[[], float], nanoseconds: Callable[[], int]
) -> str:
    """Times exits of a guest; whatever goes wrong ends it, and is no error of the guest that ran before.

    Args:
        system: The open ``/dev/kvm``.
        vcpu: A vCPU whose guest has run.
        monotonic: Clock, in seconds.
        nanoseconds: Clock, in nanoseconds.

    Returns:
        The `Timing` as text, or why there is none.
    """
    repeat = guests.repeating(vcpu.requests.machine)
    if repeat is None:
        return f"not timed: there is no guest for {vcpu.requests.machine}"
    times: list[int] = []
    try:
        reason = repeat(vcpu)
        with TimeLimit(SECONDS, monotonic) as limit:
            told = _repeat(vcpu, reason, times, limit.expired, nanoseconds)
        bare = _bare(system, vcpu.requests.get_api_version, nanoseconds)
    except (CallError, OSError, MemoryError) as error:
        return f"not timed: {str(error) or type(error).__name__}"
    if told:
        return f"not timed: after {len(times)} exits came {told}"
    if not times:
        return f"not timed: not one exit within {SECONDS * 1000:g} ms"
    times.sort()
    return str(Timing(len(times), times[0], times[len(times) // 2], times[len(times) * 9 // 10], bare))


def _repeat(
    vcpu: VCPU, reason: int, times: list[int], expired: Callable[[], bool], clock: Callable[[], int]
) -> str:
    """Appends the time of each exit; returns what came in the place of one, empty where nothing did."""
    run, enter = vcpu.run, vcpu.entry()
    while len(times) < EXITS and not expired():
        before = clock()
        try:
            enter()
        except InterruptedError:
            continue
        took = clock() - before
        (found,) = struct.unpack_from("=I", run, uapi.RUN_EXIT_REASON)
        if found != reason:
            return describe(run, found)
        times.append(took)
    return ""


def _bare(system: Descriptor, request: int, clock: Callable[[], int]) -> int:
    times = []
    for _ in range(BARE_CALLS):
        before = clock()
        system.ioctl(request, 0)
        times.append(clock() - before)
    return sorted(times)[BARE_CALLS // 2]
