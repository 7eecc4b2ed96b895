"""Every target on the inputs that were kept, and on as many made ones as a test suite has time for.

The same properties, for a given time and by coverage: ``make fuzz`` (docs/fuzzing.md).
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from all_targets import TARGETS, kept
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import CORPUS, STRANGE, Target

SIZE = 1 << 17
"""Bytes; what takes quadratic time on them takes minutes."""

LONGEST = 2.0
"""Seconds of the processor's time for so many bytes: some twenty times what the slowest parser takes."""

UNITS = (
    b"a",
    b"\\",
    b'"',
    b"\n",
    b" ",
    b"{",
    b"[",
    b"1,",
    b'"a',
    b"\\\n",
    b'="',
    b"a:/",
    b"[]",
    b"- ",
    b"x=1\n",
    b"# ",
    b"\0",
)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Returns bytes of every kind, and lines of the target's seeds with strange words between."""
    words = sorted({line for seed in target.seeds for line in seed.splitlines(keepends=True)})
    parts = st.sampled_from([*words, *STRANGE]) | st.binary(max_size=16)
    return st.lists(parts, max_size=12).map(b"".join) | st.binary(max_size=300)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_holds_for_any_bytes(target: Target) -> None:
    for data in (b"", *target.seeds, *kept(target)):
        target.run(data)

    @settings(
        max_examples=target.suite,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target))
    def holds(data: bytes) -> None:
        target.run(data)

    holds()


@pytest.mark.parametrize("target", [one for one in TARGETS if one.parse], ids=lambda target: target.name)
def test_time_is_linear(target: Target) -> None:
    """No line of the same few characters, however long, takes more than a parser's ordinary time."""
    assert target.parse is not None
    words = {word + b" " for seed in target.seeds for word in seed.split()[:8]}
    for unit in (*UNITS, *sorted(words)[:20], *target.seeds[:4]):
        data = (unit * (SIZE // len(unit) + 1))[:SIZE]
        started = time.thread_time()
        target.parse(data)
        assert time.thread_time() - started < LONGEST, unit[:40]


def test_names_are_directories_of_the_corpus() -> None:
    names = [target.name for target in TARGETS]
    assert len(set(names)) == len(names)
    assert {path.parent.name for path in CORPUS.glob("*/*")} <= set(names)


def test_the_driver_counts_inputs_and_ends_in_time() -> None:
    program = [sys.executable, str(Path(__file__).with_name("fuzz.py")), "0.4", "misc", "frames"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {words[0]: words[1] for words in map(str.split, done.stdout.splitlines()) if len(words) == 4}
    assert int(counts["misc"].replace(",", "")) > 10
    assert int(counts["all"].replace(",", "")) > 20
