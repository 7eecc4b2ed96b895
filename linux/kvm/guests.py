"""Which architecture has code for a guest to run; one module an architecture.

A guest is a function of a VM, its vCPU and a time limit. It returns one line that says what was executed, or
raises an error of `linux.kvm.exits`. Where there is none, a VM and a vCPU are created and nothing is run.
"""

from collections.abc import Callable

from linux.kvm import guest_x86
from linux.kvm.machine import VCPU, VM

Guest = Callable[[VM, VCPU, Callable[[], bool]], str]

GUESTS: dict[str, Guest] = {"x86_64": guest_x86.run, "i686": guest_x86.run}
"""By ``uname -m`` of the kernel."""
