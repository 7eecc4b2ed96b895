"""How a machine hands over what happened in it, on a console where the kernel and firmware write too: pure.

A record is lines ``~lab NUMBER LENGTH BASE64`` and at last ``~lab end LINES CRC32``, all of them twice:
a line can be written into. Lines that are not of this form are somebody else's. It imports the standard
library only: it runs inside and outside.
"""

import base64
import re
import zlib

_PART = re.compile(r"~lab (\d{1,9}) (\d{1,4}) ([A-Za-z0-9+/=]+)\s*$", re.ASCII)
_END = re.compile(r"~lab end (\d{1,9}) (\d{1,10})\s*$", re.ASCII)

_LINE = 720
"""Characters of base64 a line."""

MAX_RECORD = 64 * 1024 * 1024
"""Bytes of a record, unpacked."""


class DamagedError(Exception):
    """The console holds no whole record; the message says what is missing."""


def encode(record: bytes) -> str:
    """Makes the lines of a record."""
    packed = base64.b64encode(zlib.compress(record)).decode("ascii")
    parts = [packed[start : start + _LINE] for start in range(0, len(packed), _LINE)]
    lines = [f"~lab {number} {len(part)} {part}" for number, part in enumerate(parts)]
    lines.append(f"~lab end {len(parts)} {zlib.crc32(record)}")
    return "\n".join((*lines, *lines, ""))


def decode(console: str) -> bytes:
    """Finds the record in what a console showed.

    Raises:
        DamagedError: There is none, or a part of it is missing or was written over.
    """
    parts: dict[int, str] = {}
    ends = []
    for line in console.splitlines():
        part = _PART.search(line)
        if part and len(part[3]) == int(part[2]):
            parts[int(part[1])] = part[3]
        end = _END.search(line)
        if end:
            ends.append((int(end[1]), int(end[2])))
    if not ends:
        raise DamagedError("the machine wrote no record on its console")
    return _join(parts, *ends[0])


def _join(parts: dict[int, str], count: int, crc: int) -> bytes:
    missing = [number for number in range(min(count, len(parts) + 1)) if number not in parts]
    if missing:
        raise DamagedError(f"line {missing[0]} of {count} of the record is missing or was written over")
    unpacker = zlib.decompressobj()
    try:
        packed = base64.b64decode("".join(parts[number] for number in range(count)), validate=True)
        record = unpacker.decompress(packed, MAX_RECORD)
    except (ValueError, zlib.error) as error:
        raise DamagedError(f"the record cannot be unpacked: {error}") from None
    if not unpacker.eof:
        raise DamagedError(f"the record is cut off, or has more than {MAX_RECORD} bytes")
    if zlib.crc32(record) != crc:
        raise DamagedError("the record's checksum is wrong")
    return record
