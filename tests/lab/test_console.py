import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import console


@given(st.binary(max_size=5000))
def test_a_record_survives(record: bytes) -> None:
    assert console.decode(console.encode(record)) == record


@given(st.binary(max_size=3000), st.lists(st.text(max_size=40), max_size=20), st.randoms())
def test_lines_of_others_do_not_matter(record: bytes, others: list[str], random: object) -> None:
    lines = console.encode(record).splitlines()
    noise = [line for text in others for line in text.splitlines() if "~lab" not in line]
    for line in noise:
        lines.insert(random.randrange(len(lines) + 1), line)  # type: ignore[attr-defined]
    assert console.decode("\n".join(lines)) == record


def test_what_firmware_wrote_before_the_line_does_not_matter() -> None:
    first, *rest = console.encode(b"x" * 10).splitlines()
    assert console.decode("\n".join(("\x1b[2J\x1bc" + first + "\r", *rest))) == b"x" * 10


RECORD = json.dumps({"setup": list(range(3000))}).encode()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda lines: [], "no record"),
        (lambda lines: lines[:-1], "no record"),
        (lambda lines: lines[1:], "line 0 of"),
        (lambda lines: [lines[0], "[    1.0] oops", *lines[2:]], "line 1 of"),
        (lambda lines: [lines[0][:40], *lines[1:]], "cannot be unpacked"),
        (lambda lines: [*lines[:-1], f"~lab end {len(lines) - 1} 7"], "checksum"),
    ],
)
def test_a_damaged_record_is_told(damage: object, says: str) -> None:
    lines = console.encode(RECORD).splitlines()
    assert len(lines) > 3
    with pytest.raises(console.DamagedError, match=says):
        console.decode("\n".join(damage(lines)))  # type: ignore[operator]


@given(st.text(max_size=300), st.integers(0, 10**8), st.integers(0, 10**9))
def test_junk_is_no_record(junk: str, count: int, crc: int) -> None:
    with pytest.raises(console.DamagedError):
        console.decode(f"{junk}\n~lab 0 !!!!\n~lab 1 AAAA\n~lab end {count} {crc}\n")
