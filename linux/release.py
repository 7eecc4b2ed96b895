"""Parses a kernel's release, as ``uname -r`` and ``/proc/sys/kernel/osrelease`` show it (uname(2)).

It begins with the version that it was built from; what follows is the vendor's (``5.14.0-427.el9.x86_64``,
``6.1.0-18-cloud-amd64``, ``6.12-rc3``), and says nothing that can be compared.
"""

import re

PATTERN = r"[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,5})?"
"""A version: two numbers, or three."""

_VERSION = re.compile(PATTERN)

Version = tuple[int, int, int]


def version(release: str) -> Version | None:
    """Returns the version that a release begins with, None where it begins with none."""
    match = _VERSION.match(release)
    if match is None or release[match.end() : match.end() + 1].isdigit():
        return None
    numbers = [int(number) for number in match[0].split(".")]
    return (numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else 0)
