"""Access control lists, against the kernel's own judgement."""

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import aclfile
import pytest
from hypothesis import given
from hypothesis import strategies as st
from realkvm import needs_root

from linux import acl


def decide(text: str, user: int, *groups: int) -> acl.Decision:
    decision = acl.decide(acl.parse(aclfile.encode(aclfile.parse(text))), 0, 107, user, frozenset(groups))
    assert decision is not None
    return decision


@pytest.mark.parametrize(
    ("text", "user", "groups", "allowed", "entry", "mask"),
    [
        ("u::rw g::- o::-", 0, (), True, "user::rw-", None),
        ("u::r g::rw o::rw", 0, (107,), False, "user::r--", None),
        ("u::rw u:1000:rw g::- m::rw o::-", 1000, (), True, "user:1000:rw-", None),
        ("u::rw u:1000:r g::rw m::rw o::rw", 1000, (107,), False, "user:1000:r--", None),
        ("u::rw u:1000:rw g::- m::r o::rw", 1000, (), False, "user:1000:rw-", "mask::r--"),
        ("u::rw g::rw g:5:- m::rw o::-", 1000, (5, 107), True, "group::rw-", None),
        ("u::rw g::- g:5:rw m::rw o::-", 1000, (5, 107), True, "group:5:rw-", None),
        ("u::rw g::r g:5:w m::rw o::rw", 1000, (5, 107), False, "group::r--", None),
        ("u::rw g::rw m::r o::rw", 1000, (107,), False, "group::rw-", "mask::r--"),
        ("u::rw g::rw g:5:rw m::rw o::-", 1000, (9,), False, "other::---", None),
        ("u::rw g::- m::- o::rw", 1000, (9,), True, "other::rw-", None),
    ],
)
def test_the_entry_that_decides(
    text: str, user: int, groups: tuple[int, ...], allowed: bool, entry: str, mask: str | None
) -> None:
    decision = decide(text, user, *groups)
    assert (decision.allowed, str(decision.entry)) == (allowed, entry)
    assert (None if decision.mask is None else str(decision.mask)) == mask


@pytest.mark.parametrize(
    "attribute", [b"", b"\2\0\0", b"\1\0\0\0", b"\2\0\0\0" + b"\xff" * 8, b"\2\0\0\0" + b"\1" * 7]
)
def test_what_is_no_list_has_no_entries(attribute: bytes) -> None:
    assert acl.parse(attribute) == ()
    assert acl.decide((), 0, 0, 1, frozenset()) is None


@given(st.binary(max_size=80))
def test_no_bytes_make_it_fail(attribute: bytes) -> None:
    entries = acl.parse(attribute)
    acl.decide(entries, 0, 0, 1, frozenset({1}))
    assert all(str(entry) for entry in entries)


WHO = [(1000, [5]), (1000, [107]), (1001, [6, 7]), (1002, [9, 5, 107]), (1003, [9]), (1003, [7, 107])]
"""Users with their groups; 1000 owns half of the files, 107 is the group of all."""


def lists() -> Iterator[str]:
    """Yields lists of every kind, the same at each run."""
    chance = random.Random(0)
    for _ in range(200):
        bits = [chance.choice(("rw", "rw", "r", "w", "-")) for _ in range(9)]
        named = [f"u:{1000 + number}:{bits[number]}" for number in range(3) if chance.random() < 0.4]
        named += [f"g:{5 + number}:{bits[3 + number]}" for number in range(3) if chance.random() < 0.4]
        mask = chance.choice(("rw", "rw", "r", "w"))
        yield f"u::{bits[6]} g::{bits[7]} o::{bits[8]} m::{mask} {' '.join(named)}"


def kernel_allows(paths: Sequence[Path], user: int, groups: list[int]) -> list[bool]:
    """Asks access(2) as that user, in a child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups[1:])
            os.setgid(groups[0])
            os.setuid(user)
            os.write(writer, bytes(os.access(path, os.R_OK | os.W_OK) for path in paths))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answers:
        allowed = [bool(answer) for answer in answers.read()]
    os.waitpid(child, 0)
    return allowed


@needs_root
def test_it_judges_as_the_kernel_does() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        paths, entries, owners = [], [], []
        for number, text in enumerate(lists()):
            path = Path(directory, str(number))
            path.touch()
            owners.append(1000 if number % 2 else 0)
            os.chown(path, owners[-1], 107)
            try:
                aclfile.put(path, text)
            except OSError as error:
                pytest.skip(f"no access control lists on this file system: {error.strerror}")
            paths.append(path)
            entries.append(acl.parse(os.getxattr(path, acl.ATTRIBUTE)))
        for user, groups in WHO:
            allowed = kernel_allows(paths, user, groups)
            for answer, entry, owner in zip(allowed, entries, owners, strict=True):
                decision = acl.decide(entry, owner, 107, user, frozenset(groups))
                assert decision is not None
                assert decision.allowed is answer, (user, groups, owner, ",".join(map(str, entry)))
