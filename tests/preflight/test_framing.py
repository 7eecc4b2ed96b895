import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.framing import MAX_FRAME, Decoder, FramingError, encode

messages = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(messages, max_size=5), st.integers(1, 9))
def test_messages_come_back_however_the_stream_is_cut(sent: list[object], size: int) -> None:
    stream = b"".join(encode(message) for message in sent)
    decoder = Decoder()
    received: list[object] = []
    for start in range(0, len(stream), size):
        received += decoder.feed(stream[start : start + size])
    assert received == sent


@given(st.binary(max_size=64))
def test_junk_is_refused_or_awaited_and_nothing_else(junk: bytes) -> None:
    with contextlib.suppress(FramingError):
        assert json.dumps(list(Decoder().feed(junk)))


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    "stream",
    [
        b"Hello, world",
        (MAX_FRAME + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        frame(b"{"),
        frame(b"\xff\xfe"),
        frame(b""),
        frame(b"[" * 100_000),
        frame(b"1" * 5000),
    ],
)
def test_what_is_no_message_is_refused(stream: bytes) -> None:
    with pytest.raises(FramingError):
        list(Decoder().feed(stream))


def test_a_message_that_is_too_long_is_not_sent() -> None:
    assert len(encode("x" * (MAX_FRAME - 2))) == MAX_FRAME + 4
    with pytest.raises(FramingError, match=f"{MAX_FRAME + 1} bytes"):
        encode("x" * (MAX_FRAME - 1))


def test_an_incomplete_message_is_awaited() -> None:
    stream = encode({"check": "KVM"})
    decoder = Decoder()
    assert list(decoder.feed(stream[:-1])) == []
    assert list(decoder.feed(stream[-1:])) == [{"check": "KVM"}]


def test_messages_before_junk_are_kept() -> None:
    received: list[object] = []
    with pytest.raises(FramingError):
        received.extend(Decoder().feed(encode(1) + encode(2) + b"\xff" * 8))
    assert received == [1, 2]
