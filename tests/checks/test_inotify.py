"""The check Inotify, on limits of all kinds."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import MemoryHost, Node

from checks import inotify as module
from checks.inotify import inotify
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome

INSTANCES, WATCHES = (f"{module.FOLDER}/{limit.name}" for limit in module.LIMITS)


@pytest.mark.parametrize(
    ("instances", "watches", "outcome"),
    [
        ("512\n", "16384\n", module.ENOUGH),
        ("8192\n", "1048576\n", module.ENOUGH),
        ("2147483647\n", "2147483647\n", module.ENOUGH),
        ("511\n", "16384\n", module.TOO_LOW),
        ("512\n", "16383\n", module.TOO_LOW),
        ("128\n", "8192\n", module.TOO_LOW),
        ("0\n", "0\n", module.TOO_LOW),
        ("", "16384\n", module.UNREADABLE),
        ("512\n", "-1\n", module.UNREADABLE),
        ("512\n", "99999999999\n", module.UNREADABLE),
        ("\0\n", "x\n", module.UNREADABLE),
        ("\u0665\u0661\u0662\n", "16384\n", module.UNREADABLE),
    ],
)
def test_both_limits_against_their_minimums(instances: str, watches: str, outcome: Outcome) -> None:
    finding = inotify(MemoryHost({INSTANCES: instances, WATCHES: watches}), Run())
    assert finding.outcome is outcome
    assert finding.hint or outcome is module.ENOUGH


@pytest.mark.parametrize(
    ("instances", "watches", "lines"),
    [
        (128, 1 << 20, ["fs.inotify.max_user_instances = 8192"]),
        (512, 8192, ["fs.inotify.max_user_watches = 524288"]),
        (1, 1, ["fs.inotify.max_user_instances = 8192", "fs.inotify.max_user_watches = 524288"]),
    ],
)
def test_the_hint_raises_what_is_too_low_and_nothing_else(
    instances: int, watches: int, lines: list[str]
) -> None:
    hint = inotify(MemoryHost({INSTANCES: f"{instances}\n", WATCHES: f"{watches}\n"}), Run()).hint or ""
    command, _, rest = hint.partition(" > ")
    assert rest == "/etc/sysctl.d/99-inotify.conf && sysctl --system"
    printed = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == lines


def test_a_minimum_above_what_is_ample_is_what_the_hint_sets() -> None:
    run = Run(settings={"minimum_user_instances": 10000, "minimum_user_watches": 1})
    finding = inotify(MemoryHost({INSTANCES: "9999\n", WATCHES: "9\n"}), run)
    assert finding.outcome is module.TOO_LOW
    assert finding.hint is not None
    assert "max_user_instances = 10000" in finding.hint


@pytest.mark.parametrize(
    "files", [{}, {INSTANCES: "512\n"}, {INSTANCES: Node(open_errno=13), WATCHES: "9\n"}]
)
def test_what_cannot_be_read_is_unknown(files: dict[str, Node | str]) -> None:
    assert inotify(MemoryHost(files), Run()).outcome is module.UNREADABLE


def test_this_machine() -> None:
    finding = inotify(Host(), Run())
    assert finding.outcome in (module.ENOUGH, module.TOO_LOW)
    assert set(finding.evidence) == {INSTANCES, WATCHES}


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_only_numbers_pass(instances: bytes, watches: bytes) -> None:
    finding = inotify(MemoryHost({INSTANCES: instances, WATCHES: watches}), Run())
    if finding.outcome is module.ENOUGH:
        assert int(instances) >= 512
        assert int(watches) >= 16384
