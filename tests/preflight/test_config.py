import os
import threading

import pytest
from fakechecks import fake
from hypothesis import given, settings
from hypothesis import strategies as st

from preflight.check import ADVISORY, BLOCKING, Setting
from preflight.config import Config, ConfigError, load, parse
from preflight.toml_file import MAX_SIZE

MEMORY = fake(
    "Memory",
    timeout=5.0,
    settings=(
        Setting("minimum_bytes", 1 << 30, "Least memory.", minimum=0),
        Setting("path", "/var", "Where disks are.", pattern="/[a-z/]*"),
    ),
)
TUN = fake("Tun", timeout=5.0)
CHECKS = (MEMORY, TUN)

FULL = b"""
[run]
only = ["Memory", "Tun"]
ignore = ["Tun"]
timeout = 30

[checks.Memory]
weight = "advisory"
timeout = 2.5
minimum_bytes = 4_294_967_296
"""


def test_everything_that_can_be_said() -> None:
    config = parse(FULL, CHECKS, "c.toml")
    assert config.only == ("Memory", "Tun")
    assert config.ignore == ("Tun",)
    assert config.timeout == 30.0
    assert config.weight(MEMORY) is ADVISORY
    assert config.weight(TUN) is BLOCKING
    assert config.seconds(MEMORY) == 2.5
    assert config.seconds(TUN) == 5.0
    assert config.thresholds(MEMORY) == {"minimum_bytes": 1 << 32, "path": "/var"}
    assert config.thresholds(TUN) == {}


def test_nothing_said_is_the_default() -> None:
    config = load(None, CHECKS)
    assert config == Config()
    assert config.weight(MEMORY) is BLOCKING
    assert config.thresholds(MEMORY) == {"minimum_bytes": 1 << 30, "path": "/var"}
    assert parse(b"", CHECKS, "c.toml").thresholds(MEMORY) == config.thresholds(MEMORY)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("runs = 1", "runs: unknown key (known: run, checks)"),
        ("run = 1", "run: not a table"),
        ("[run]\ntimout = 1", "run.timout: unknown key (known: only, ignore, timeout)"),
        ('[run]\nonly = "KVM"', "run.only: not a list of names of checks"),
        ("[run]\nonly = [1]", "run.only: 1: no such check (there are Memory, Tun)"),
        ('[run]\nonly = ["KVM"]', "run.only: 'KVM': no such check (there are Memory, Tun)"),
        ('[run]\nignore = ["Tun", "Tun"]', "run.ignore: Tun stands there twice"),
        ('[run]\nonly = ["\\u001b[2J"]', "run.only: '\\x1b[2J': no such check"),
        ('[run]\ntimeout = "5"', "run.timeout: not a number of seconds"),
        ("[run]\ntimeout = true", "run.timeout: not a number of seconds"),
        ("[run]\ntimeout = 0", "run.timeout: not a time from 0 to 86400 seconds"),
        ("[run]\ntimeout = -1.5", "run.timeout: not a time from 0 to 86400 seconds"),
        ("[run]\ntimeout = inf", "run.timeout: not a time from 0 to 86400 seconds"),
        ("[run]\ntimeout = nan", "run.timeout: not a time from 0 to 86400 seconds"),
        (f"[run]\ntimeout = 1{'0' * 400}", "run.timeout: not a time from 0 to 86400 seconds"),
        ("checks = []", "checks: not a table"),
        ("[checks.KVM]", "checks.KVM: no such check (there are Memory, Tun)"),
        ("[checks]\nTun = 1", "checks.Tun: not a table"),
        ("[checks.Tun]\nminimum_bytes = 1", "checks.Tun.minimum_bytes: unknown key (known: weight, timeout)"),
        ('[checks.Tun]\nweight = "heavy"', "checks.Tun.weight: none of blocking, unless-emulated, advisory"),
        ("[checks.Tun]\nweight = 1", "checks.Tun.weight: none of blocking, unless-emulated, advisory"),
        ("[checks.Tun]\ntimeout = []", "checks.Tun.timeout: not a number of seconds"),
        ("[checks.Memory]\nminimum_bytes = -1", "checks.Memory.minimum_bytes: less than 0"),
        ("[checks.Memory]\nminimum_bytes = 1.5", "checks.Memory.minimum_bytes: not a whole number"),
        ("[checks.Memory]\nminimum_bytes = true", "checks.Memory.minimum_bytes: not a whole number"),
        ("[checks.Memory]\npath = 1", "checks.Memory.path: not a string"),
        ('[checks.Memory]\npath = "var"', "checks.Memory.path: 'var' does not match /[a-z/]*"),
        ('[checks.Memory]\npath = "/var\\n"', r"checks.Memory.path: '/var\n' does not match /[a-z/]*"),
        ("[checks.Tun]\n[checks.Tun]", "not TOML: Cannot declare"),
        ("a = 1\na = 2", "not TOML: Cannot overwrite a value"),
        ("[run", "not TOML: "),
        ("a = 1" + "0" * 5000, "not TOML: Exceeds the limit"),
        ("a = " + "[" * 5000, "not TOML: "),
        ('"a\\nb" = 1', "a b: unknown key"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), CHECKS, "c.toml")
    assert str(caught.value).startswith(f"c.toml: {complaint}")
    assert str(caught.value).isprintable()


def test_what_is_not_utf8_is_named(tmp_path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"# \xff\xfe\n")
    with pytest.raises(ConfigError) as caught:
        load(str(path), CHECKS)
    assert str(caught.value) == f"{path}: not UTF-8 at byte 2"


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    for path, reason in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as caught:
            load(str(path), CHECKS)
        assert str(caught.value) == f"{path}: {reason}"
    with pytest.raises(ConfigError, match="null"):
        load("a\0b", CHECKS)


def test_a_huge_file_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load("/dev/zero", CHECKS)
    assert str(caught.value) == f"/dev/zero: larger than {MAX_SIZE} bytes"


def test_a_file_and_a_pipe_can_be_read(tmp_path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(FULL)
    assert load(str(path), CHECKS) == parse(FULL, CHECKS, "c.toml")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(FULL,))
    writer.start()
    assert load(str(fifo), CHECKS) == parse(FULL, CHECKS, "c.toml")
    writer.join()


toml_pieces = st.sampled_from(
    [
        "[run]\n",
        "[checks.Memory]\n",
        "timeout",
        "only",
        "minimum_bytes",
        "weight",
        " = ",
        "5",
        '["Tun"]',
        "nan",
        "\n",
    ]
)


@settings(max_examples=100)
@given(
    st.one_of(st.binary(max_size=40), st.lists(toml_pieces, max_size=12).map(lambda p: "".join(p).encode()))
)
def test_junk_is_refused_in_one_line_or_read(data: bytes) -> None:
    complaint, config = "c.toml: ", Config()
    try:
        config = parse(data, CHECKS, "c.toml")
    except ConfigError as error:
        complaint = str(error)
    assert complaint.startswith("c.toml: ")
    assert complaint.isprintable()
    assert set(config.only) <= {"Memory", "Tun"}
    assert config.seconds(TUN) > 0
