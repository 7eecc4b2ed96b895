"""Signals to real processes."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import sys, threading, time
from daemon import lifecycle, logs
logs.configure("json")
with lifecycle.stopping(hangup=lambda: print("hangup", flush=True)) as stop:
    print("up", flush=True)
    BODY
print("left", flush=True)
"""


def start(body: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.replace("BODY", body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_sets_the_event(number: signal.Signals) -> None:
    process = start("stop.wait()")
    process.send_signal(number)
    output, log = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "left\n")
    assert '"event": "stopping"' in log


def test_hangup_is_handed_on_each_time() -> None:
    process = start("stop.wait()")
    assert process.stdout is not None
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "hangup\n"
    process.terminate()
    assert process.communicate(timeout=30)[0] == "left\n"
    assert process.returncode == 0


def test_body_that_does_not_end_is_cut_off_with_status_zero() -> None:
    process = start("time.sleep(600)")
    process.terminate()
    output, log = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "")
    assert "did not stop in time" in log


def test_handlers_are_put_back() -> None:
    from daemon import lifecycle

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    with lifecycle.stopping() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stop.wait(10)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before
