"""Signals to real processes."""

import json
import signal
import subprocess
import sys
import threading

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
    output, log = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "left\n")
    assert '"event": "stopping"' in log


def test_hangup_is_handed_on_each_time() -> None:
    process = start("stop.wait()")
    assert process.stdout is not None
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "hangup\n"
    process.terminate()
    assert process.communicate(timeout=60)[0] == "left\n"
    assert process.returncode == 0


def test_body_that_does_not_end_is_cut_off_with_status_zero() -> None:
    process = start("time.sleep(600)")
    process.terminate()
    output, log = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")
    assert "did not stop in time" in log


FAILING = "threading.Thread(target=lambda: 1 / 0, name='worker').start(); "


@pytest.mark.parametrize("body", ["stop.wait()", "time.sleep(600)"])
def test_thread_that_fails_ends_the_daemon_with_status_one(body: str) -> None:
    process = start(FAILING + body)
    output, log = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    first = json.loads(log.splitlines()[0])
    assert (first["event"], first["thread"]) == ("a thread failed, stopping", "worker")
    assert "ZeroDivisionError" in first["exception"]


def test_handlers_are_put_back() -> None:
    from daemon import lifecycle

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    hook = threading.excepthook
    with lifecycle.stopping() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stop.wait(60)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before
    assert threading.excepthook is hook
