"""How long the check CPU takes for a machine of 4,096 CPUs, whose `/proc/cpuinfo` has some 6 MB.

Usage: cpuinfo.py [ROUNDS]. The check itself reads a file in each round: first one whose CPUs have the same
flags, as those of every real machine, then the worst one, where no two CPUs have.
"""

import os
import statistics
import sys
import tempfile
import time

from checks.cpu import cpu
from preflight.check import Run
from preflight.host import Host

CPUS = 4096

FLAGS = " ".join(f"feature{number}" for number in range(120))
"""About as many as a server has."""

BLOCK = """processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8490H
stepping\t: 8
cpu MHz\t\t: 1900.{number:04}
cache size\t: 115200 KB
physical id\t: {socket}
core id\t\t: {number}
apicid\t\t: {number}
fpu\t\t: yes
flags\t\t: fpu lm vmx {flags}
vmx flags\t: vnmi preemption_timer posted_intr invvpid ept_x_only ept_ad ept_1gb flexpriority apicv
bugs\t\t: spectre_v1 spectre_v2 spec_store_bypass swapgs eibrs_pbrsb bhi
bogomips\t: 3800.00
address sizes\t: 52 bits physical, 57 bits virtual
power management:

"""


def cpuinfo(*, alike: bool) -> str:
    """Returns the file of a machine whose CPUs have the same flags or each its own."""
    return "".join(
        BLOCK.format(number=number, socket=number // 120, flags=FLAGS if alike else f"{FLAGS} own{number}")
        for number in range(CPUS)
    )


def main(rounds: int) -> None:
    """Measures and prints."""
    for name, alike in (("alike", True), ("all different", False)):
        with tempfile.TemporaryDirectory() as root:
            os.mkdir(os.path.join(root, "proc"))
            path = os.path.join(root, "proc/cpuinfo")
            with open(path, "w", encoding="ascii") as file:
                file.write(cpuinfo(alike=alike))
            size, times = os.path.getsize(path), []
            for _ in range(rounds):
                start = time.perf_counter()
                finding = cpu(Host(root), Run())
                times.append((time.perf_counter() - start) * 1000)
        print(
            f"{CPUS} CPUs, {name}: {size / 1e6:.1f} MB, median {statistics.median(times):.0f} ms, "
            f"least {min(times):.0f} ms: {finding.message}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
