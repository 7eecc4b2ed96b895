"""What a run costs, side by side with the reference tools, in turns in one run; prints a table.

Usage: bench.py [ROUNDS]. Four things are timed in each round, so that a machine that drifts drifts for all:
the suite inside a running probe (from the request on its socket to the report), `vm-preflight run` from cold,
`virt-host-validate qemu` and `kvm-ok`.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from agent import wire
from preflight import framing
from preflight.report import Report

PROGRAM = str(Path(sys.executable).with_name("vm-preflight"))
REFERENCE = "virt-host-validate qemu"
INSIDE = "suite inside the running probe"
COLD = "vm-preflight run, cold"
PACKAGES = {"virt-host-validate": "libvirt-clients", "kvm-ok": "cpu-checker"}


class Probe:
    """A running probe and a connection to it."""

    def __init__(self, directory: str) -> None:
        """Starts a probe whose socket lies in ``directory``, and greets it."""
        path = os.path.join(directory, "probe.sock")
        self._process = subprocess.Popen([PROGRAM, "probe", "--socket", path, "--log-level=error"])
        self._socket = socket.socket(socket.AF_UNIX)
        self._decoder = framing.Decoder(wire.MAX_REPLY)
        try:
            self._connect(path, time.monotonic() + 10)
            self._ask(wire.Hello())
        except BaseException:
            self.close()
            raise

    def _connect(self, path: str, end: float) -> None:
        while True:
            try:
                self._socket.connect(path)
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
            else:
                return

    def _ask(self, request: wire.Request) -> wire.Reply:
        self._socket.sendall(wire.encode_request(request))
        while True:
            for message in self._decoder.feed(self._socket.recv(1 << 16)):
                reply = wire.decode_reply(message)
                if not isinstance(reply, wire.DeviceChange):
                    return reply

    def run(self) -> Report:
        """Asks for a run of all checks."""
        reply = self._ask(wire.RunRequest(timeout=30))
        if not isinstance(reply, wire.Answer):
            raise SystemExit(f"the probe answered {reply}")
        return reply.report

    def memory(self) -> int:
        """The probe's proportional set size, in KiB (proc(5): smaps_rollup)."""
        rollup = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))

    def close(self) -> None:
        """Ends the probe."""
        self._socket.close()
        self._process.terminate()
        self._process.wait()


def command(*words: str) -> Callable[[], object]:
    """Returns a function that runs a program to its end, whatever its exit status."""
    return lambda: subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def milliseconds(function: Callable[[], object]) -> float:
    """Runs a function and returns the time it took."""
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1000


def main(rounds: int) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as directory, closing(Probe(directory)) as probe:
        subjects: dict[str, Callable[[], object]] = {INSIDE: probe.run, COLD: command(PROGRAM, "run")}
        for words in (("virt-host-validate", "qemu"), ("kvm-ok",)):
            if shutil.which(words[0]):
                subjects[" ".join(words)] = command(*words)
            else:
                print(f"not measured: {words[0]} is not installed (package {PACKAGES[words[0]]})")
        for function in subjects.values():
            function()
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(rounds):
            for name, function in subjects.items():
                times[name].append(milliseconds(function))
        report = probe.run()
        memory = probe.memory()
    show(times)
    guest = next(one for one in report.results if one.check_name == "KVM")
    print(f"\nprobe: {memory / 1024:.1f} MiB (Pss) after {rounds + 2} runs of {len(report.results)} checks")
    print(f"guest: {guest.reason}; its exits: {guest.evidence.get('KVM_RUN: exits', 'none')}")
    print("each check, in ms:")
    for result in sorted(report.results, key=lambda one: -one.duration_seconds):
        print(f"  {result.check_name:<18} {result.duration_seconds * 1000:7.3f}")


def show(times: dict[str, list[float]]) -> None:
    """Prints a row a subject; the ratio is the median of the ratios within each round."""
    print(f"{'':<32} {'median ms':>10} {'min':>8} {'max':>8}   x {REFERENCE}")
    for name, values in times.items():
        ratio = "-"
        if reference := times.get(REFERENCE):
            pairs = [ours / theirs for ours, theirs in zip(values, reference, strict=True)]
            ratio = f"{statistics.median(pairs):.2f}"
        row = f"{statistics.median(values):10.2f} {min(values):8.2f} {max(values):8.2f}"
        print(f"{name:<32} {row}   {ratio}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
