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
LINES = console.encode(RECORD).splitlines()
ONCE = LINES[: len(LINES) // 2]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "no record"),
        (ONCE[:-1], "no record"),
        (ONCE[1:], "line 0 of"),
        ([ONCE[0], "[    1.0] oops", *ONCE[2:]], "line 1 of"),
        ([ONCE[0][:40], *ONCE[1:]], "line 0 of"),
        ([f"~lab 0 4 {'A' * 4}", *ONCE[1:]], "cannot be unpacked"),
        ([*ONCE[:-1], f"~lab end {len(ONCE) - 1} 7"], "checksum"),
    ],
)
def test_a_damaged_record_is_told(lines: list[str], says: str) -> None:
    assert len(ONCE) > 3
    with pytest.raises(console.DamagedError, match=says):
        console.decode("\n".join(lines))


@given(st.data())
def test_one_line_that_was_written_into_costs_nothing(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(LINES) - 1))
    place = data.draw(st.integers(0, len(LINES[number])))
    line = f"{LINES[number][:place]}[   23.4] oops\n{LINES[number][place:]}"
    assert console.decode("\n".join((*LINES[:number], line, *LINES[number + 1 :]))) == RECORD


@given(st.text(max_size=300), st.integers(0, 10**8), st.integers(0, 10**9))
def test_junk_is_no_record(junk: str, count: int, crc: int) -> None:
    with pytest.raises(console.DamagedError):
        console.decode(f"{junk}\n~lab 0 4 !!!!\n~lab 1 4 AAAA\n~lab end {count} {crc}\n")
