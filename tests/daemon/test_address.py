"""The addresses of ``--listen``."""

import pytest

from daemon.address import Address, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9955", Address("", 9955)),
        ("127.0.0.1:9955", Address("127.0.0.1", 9955)),
        ("[::1]:9955", Address("::1", 9955)),
        ("localhost:0", Address("localhost", 0)),
        ("0.0.0.0:65535", Address("0.0.0.0", 65535)),
    ],
)
def test_parses_what_users_write(text: str, address: Address) -> None:
    assert parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "9955",
        "::1:9955",
        "[::1]",
        "host:",
        "host:http",
        ":65536",
        ":-1",
        ":+1",
        ":\uff19\uff19",
        ":000080",
        "a b:1",
        "[h]:1",
        "a/b:1",
        "h\n:1",
    ],
)
def test_refuses_anything_else_in_one_line_that_names_it(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_url_is_one_that_this_machine_reaches() -> None:
    assert Address("", 9955).url == "http://localhost:9955/"
    assert Address("::1", 1).url == "http://[::1]:1/"
