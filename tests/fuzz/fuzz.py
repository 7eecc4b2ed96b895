"""Fuzzes every target for a time, and prints how many inputs each took and how many failed.

Usage: ``fuzz.py [SECONDS] [TARGET…]``; ``fuzz.py --list`` for what each target holds to; ``fuzz.py --distil``
to keep those of the inputs that atheris has found which reach lines that no kept one reaches.

Inputs are made by atheris, which follows the program's coverage, or where it is not installed by changing
those that are at hand. An input that fails is made small and kept in ``tests/fuzz/corpus/TARGET``, where the
test suite tries it from then on. What atheris finds to reach new code lies in ``.fuzz/TARGET`` and is begun
from the next time. Each target runs in a process of its own, which is ended where an input ends it or hangs.
"""

import contextlib
import hashlib
import importlib
import io
import json
import mmap
import os
import pkgutil
import random
import select
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple, NoReturn

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GROWN = ROOT / ".fuzz"
ROOMS = ("agent", "checks", "cli", "cluster", "controller", "daemon", "linux", "preflight")
OURS = tuple(f"{ROOT}/{room}/" for room in ROOMS)
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

SLOW = 1.0
"""Seconds of the processor's time that no input of `MAX_INPUT` bytes may take."""

PATIENCE = 30.0
"""Seconds after its time within which a target's process must have ended, else its input hangs."""

SHRINKING = 5.0
"""Seconds for making an input small that failed."""

MOST_FAILURES = 5
"""Different failures of one target, after which it is left alone."""


def atheris_or_none() -> ModuleType | None:
    """Returns the engine that follows coverage, every module of ours being instrumented, if it is there."""
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        return None
    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=list(ROOMS)):
        for room in ROOMS:
            for module in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
                importlib.import_module(module.name)
    return atheris


ATHERIS = atheris_or_none()
# Only now, when what they import is instrumented.
from all_targets import TARGETS, kept  # noqa: E402
from inputs import CORPUS, MAX_INPUT, STRANGE, Mutator, Target  # noqa: E402


class SlowError(Exception):
    """An input took too much time."""


class Failure(NamedTuple):
    """An input that failed.

    Attributes:
        file: Where it is kept.
        told: How it failed, in one line.
    """

    file: str
    told: str


class Outcome(NamedTuple):
    """What came of a target.

    Attributes:
        inputs: How many it took.
        seconds: For how long.
        failures: Those that failed, each in another way.
    """

    inputs: int
    seconds: float
    failures: Sequence[Failure]


class Shared:
    """What a target's process tells while it runs: how many inputs, and the one that it is at."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16 + MAX_INPUT)

    def begin(self, data: bytes) -> None:
        """Notes an input before it is tried."""
        (count,) = struct.unpack_from("=Q", self._memory)
        struct.pack_into("=QQ", self._memory, 0, count + 1, len(data))
        self._memory[16 : 16 + len(data)] = data

    def look(self) -> tuple[int, bytes]:
        """Returns how many inputs were tried, and the last."""
        count, length = struct.unpack_from("=QQ", self._memory)
        return count, self._memory[16 : 16 + length]


def fault(target: Target, data: bytes) -> BaseException | None:
    """Tries an input; returns what it raised, None where all holds."""
    for _ in range(2):  # the first time, modules may have to be imported
        started = time.thread_time()
        try:
            target.run(data)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 -- whatever is raised is what is looked for
            return error
        spent = time.thread_time() - started
        if spent <= SLOW:
            return None
    return SlowError(f"{spent:.1f} s")


def describe(error: BaseException) -> str:
    """Returns what was raised and where, in one line that is the same for the same fault."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {place}"


def shrink(target: Target, data: bytes, told: str) -> bytes:
    """Leaves out of an input what it fails without, in the same way."""
    end, size = time.monotonic() + SHRINKING, len(data) // 2
    while size and time.monotonic() < end:
        for start in range(0, len(data), size):
            less = data[:start] + data[start + size :]
            error = fault(target, less)
            if error is not None and describe(error) == told:
                data = less
                break
        else:
            size //= 2
    return data


def keep(target: Target, data: bytes) -> str:
    """Puts an input into the corpus; returns its path."""
    folder = CORPUS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / hashlib.sha256(data).hexdigest()[:12]
    file.write_bytes(data)
    return str(file.relative_to(ROOT))


class Worker:
    """Tries inputs on a target in a process of its own, and tells of what fails."""

    def __init__(self, target: Target, seconds: float, shared: Shared, pipe: int) -> None:
        self._target = target
        self._end = time.monotonic() + seconds
        self._shared = shared
        self._pipe = pipe
        self._known: set[str] = set()

    def run(self, seed: int) -> NoReturn:
        """Tries inputs until the time has passed."""
        nowhere = os.open(os.devnull, os.O_WRONLY)  # for what is logged, and for what atheris has to say
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        for data in (b"", *self._target.seeds, *kept(self._target)):
            self.attempt(data[:MAX_INPUT])
        if ATHERIS is None:
            pool = [*self._target.seeds, *kept(self._target)]
            mutator = Mutator([one[:MAX_INPUT] for one in pool], random.Random(seed))
            while True:
                self.attempt(mutator.input())
        options = [
            f"-max_len={MAX_INPUT}",
            f"-seed={seed}",
            "-timeout=100000",
            "-handle_alrm=0",
            "-rss_limit_mb=0",
        ]
        grown = GROWN / self._target.name
        grown.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(self._target.seeds):
            (grown / f"seed-{number}").write_bytes(data[:MAX_INPUT])
        folders = [str(folder) for folder in (grown, CORPUS / self._target.name) if folder.is_dir()]
        ATHERIS.Setup([sys.argv[0], *options, f"-dict={dictionary()}", *folders], self.attempt)
        ATHERIS.Fuzz()
        raise AssertionError("atheris does not return")

    def attempt(self, data: bytes) -> None:
        """Tries one input; ends the process when the time has passed."""
        if time.monotonic() >= self._end or len(self._known) >= MOST_FAILURES:
            os._exit(0)
        self._shared.begin(data)
        error = fault(self._target, data)
        if error is None or (told := describe(error)) in self._known:
            return
        self._known.add(told)
        small = shrink(self._target, data, told)
        words = f"{told}: {' '.join(str(error).split())[:200]}"
        os.write(self._pipe, json.dumps((keep(self._target, small), words)).encode() + b"\n")


def dictionary() -> Path:
    """Returns a file with words for atheris, as libFuzzer reads them."""
    file = GROWN / "dictionary.txt"
    lines = ["".join(f"\\x{byte:02x}" for byte in word[:64]) for word in STRANGE if word]
    file.write_text("".join(f'"{line}"\n' for line in lines))
    return file


def fuzz(target: Target, seconds: float, seed: int) -> Outcome:
    """Fuzzes one target."""
    shared, started = Shared(), time.monotonic()
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            Worker(target, seconds, shared, writing).run(seed)
        finally:
            os._exit(70)
    os.close(writing)
    try:
        told = _until_the_end(reading, started + seconds + PATIENCE)
        hangs = told is None
        if hangs:
            os.kill(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    finally:
        os.close(reading)
    count, last = shared.look()
    failures = [Failure(*json.loads(line)) for line in (told or b"").splitlines()]
    if hangs or status:
        failures.append(Failure(keep(target, last), "hangs" if hangs else f"ended the process: {status}"))
    return Outcome(count, time.monotonic() - started, failures)


def _until_the_end(pipe: int, deadline: float) -> bytes | None:
    """Reads to the end of a pipe; None where that has not come by the deadline."""
    told = b""
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        some = os.read(pipe, 1 << 16)
        if not some:
            return told
        told += some
    return None


def lines_of(target: Target, data: bytes) -> set[tuple[str, int]]:
    """Returns the lines of our rooms that an input reaches."""
    reached: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        if event == "line":
            reached.add((file, frame.f_lineno))
        return trace if file.startswith(OURS) else None

    sys.settrace(trace)
    try:
        target.run(data)
    finally:
        sys.settrace(None)
    return reached


def distil(target: Target) -> int:
    """Keeps what reaches more lines than what is kept, short inputs first; returns how many."""
    known: set[tuple[str, int]] = set()
    for data in (b"", *target.seeds, *kept(target)):
        known |= lines_of(target, data)
    grown = GROWN / target.name
    found = [path.read_bytes() for path in grown.iterdir()] if grown.is_dir() else []
    count = 0
    for data in sorted(found, key=len):
        reached = lines_of(target, data)
        if reached - known:
            keep(target, data)
            count += 1
        known |= reached
    return count


def table(outcomes: dict[str, Outcome]) -> str:
    """Returns what came of all targets, in lines."""
    width = max(len(name) for name in outcomes)
    lines = [f"{'target':<{width}}  {'inputs':>10}  {'a second':>9}  failures"]
    total = Outcome(
        sum(one.inputs for one in outcomes.values()),
        sum(one.seconds for one in outcomes.values()),
        [failure for one in outcomes.values() for failure in one.failures],
    )
    for name, one in (*outcomes.items(), ("all", total)):
        rate = one.inputs / one.seconds if one.seconds else 0
        lines.append(f"{name:<{width}}  {one.inputs:>10,}  {rate:>9,.0f}  {len(one.failures):>8}")
    lines += [f"{failure.file}: {failure.told}" for failure in total.failures]
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    """Fuzzes; returns 1 where an input failed."""
    if words == ["--list"]:
        for target in TARGETS:
            print(f"{target.name}: {(target.run.__doc__ or '').strip().partition(chr(10) * 2)[0]}")
        return 0
    if words == ["--distil"]:
        print("\n".join(f"{target.name}: {distil(target)} more are kept" for target in TARGETS))
        return 0
    seconds = float(words[0]) if words else 60.0
    chosen = [target for target in TARGETS if target.name in words[1:] or len(words) < 2]
    if not chosen:
        print(f"no such target: {', '.join(words[1:])}; there are: fuzz.py --list", file=sys.stderr)
        return 2
    GROWN.mkdir(exist_ok=True)
    engine = "atheris" if ATHERIS else "changes of inputs at hand (atheris is not installed)"
    seed = random.SystemRandom().randrange(1, 1 << 31)
    print(f"{len(chosen)} targets, {seconds:g} s, inputs by {engine}, seed {seed}", flush=True)
    outcomes: dict[str, Outcome] = {}
    try:
        for target in chosen:
            outcomes[target.name] = fuzz(target, seconds / len(chosen), seed)
    finally:
        if outcomes:
            print(table(outcomes))
    return int(any(outcome.failures for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
