"""Probe and agent as real processes, with checks that hang, crash and print, and probes that are killed."""

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentlab import PROBE, ROOT, Lab, reasons
from waiting import until

from agent import wire
from agent.wire import Hello, Refusal, RunRequest, Welcome
from preflight.framing import Decoder


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path) as made:
        yield made


def waiting(lab: Lab) -> int:
    """Waits until the check ``Waiter`` is asked and returns the process that asks it."""
    marker = lab.plugin / "waiting"
    pid = until(lambda: (marker.exists() and marker.read_text()) or None, "the check to be asked")
    marker.unlink()
    return int(pid)


def test_checks_that_go_wrong_cost_themselves_only(lab: Lab) -> None:
    probe, agent = lab.probe("Fine", "Sleeper", "Crasher", "Printer"), lab.agent()
    report = until(agent.report, "a report", seconds=60)
    assert reasons(report) == {
        "Fine": "Good",
        "Sleeper": "TimedOut",
        "Crasher": "Crashed",
        "Printer": "OutputTooLarge",
    }
    assert report["passed"] is False
    until(lambda: agent.metric("runs_total", trigger="Startup") == 1, "the run to be counted")
    assert agent.metric("check_passed", check="Fine") == 1
    assert agent.metric("check_passed", check="Crasher") == 0
    assert probe.alive
    assert agent.terminate() == 0
    assert probe.terminate() == 0


def test_probe_killed_in_the_middle_of_a_run_is_asked_again_when_it_is_back(lab: Lab) -> None:
    probe, agent = lab.probe("Waiter", "Fine"), lab.agent()
    waiting(lab)
    probe.kill()
    until(lambda: agent.metric("probe_up") == 0, "the agent to see it")
    status, reason = agent.get("/readyz")
    assert (status, reason) == (503, f"socket {lab.socket}: {reason.rpartition(': ')[2]}")
    assert agent.report() is None
    (lab.plugin / "go").touch()
    lab.probe("Waiter", "Fine")
    report = until(agent.report, "a report")
    assert reasons(report) == {"Fine": "Good", "Waiter": "Good"}
    assert agent.get("/readyz") == (200, "ok\n")
    assert agent.metric("probe_up") == 1


def test_probe_ends_on_request_in_the_middle_of_a_run_and_leaves_nothing(lab: Lab) -> None:
    probe, agent = lab.probe("Waiter"), lab.agent()
    child = waiting(lab)
    assert probe.terminate() == 0
    assert not os.path.lexists(lab.socket)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert agent.alive


def test_probe_that_is_told_twice_at_once_ends_without_complaint(lab: Lab) -> None:
    """As Ctrl-C in a terminal does: SIGINT from there, SIGTERM from the agent."""
    probe = lab.probe("Fine")
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        probe.popen.send_signal(number)
    assert probe.popen.wait(timeout=20) == 0
    assert "Traceback" not in probe.text()


SLOW_TO_LEAVE = f"""
import time
class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(1.5)
slow = Slow()
{PROBE}"""
"""A probe whose interpreter is still taking itself apart when its time is over."""


def test_probe_that_is_slow_to_leave_ends_without_a_signal(lab: Lab) -> None:
    given = {"socket": lab.socket, "config_path": lab.config("Fine"), "grace": 0.5}
    probe = lab.start("probe", SLOW_TO_LEAVE, given)
    probe.wait_for_log("serving")
    assert probe.terminate() == 0


def test_agent_ends_on_request_in_the_middle_of_a_run(lab: Lab) -> None:
    probe, agent = lab.probe("Waiter", "Fine"), lab.agent()
    waiting(lab)
    assert agent.terminate() == 0
    assert "cut off" not in agent.text()
    assert "Traceback" not in agent.text()
    (lab.plugin / "go").touch()
    assert reasons(until(lab.agent().report, "a report")) == {"Fine": "Good", "Waiter": "Good"}
    assert probe.alive


def test_agent_that_spawns_its_probe_needs_nothing_else(lab: Lab) -> None:
    agent = lab.agent(probe="spawn", spawn=lab.spawn("Fine"))
    report = until(agent.report, "a report")
    assert (report["passed"], reasons(report)) == (True, {"Fine": "Good"})
    until(lambda: agent.metric("passed") == 1, "the run to be counted")
    status, body = agent.get("/")
    assert status == 200
    assert "Fine" in body
    agent.hang_up()
    until(lambda: agent.metric("runs_total", trigger="Signal") == 1, "another run")
    assert agent.terminate() == 0
    assert "Traceback" not in agent.text()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_spawned_probe_that_is_killed_is_started_again(lab: Lab) -> None:
    agent = lab.agent(probe="spawn", spawn=lab.spawn("Waiter"))
    os.kill(parent(waiting(lab)), signal.SIGKILL)
    waiting(lab)
    (lab.plugin / "go").touch()
    assert reasons(until(agent.report, "a report")) == {"Waiter": "Good"}


def test_spawned_probe_ends_when_its_agent_is_killed(lab: Lab) -> None:
    agent = lab.agent(probe="spawn", spawn=lab.spawn("Waiter"))
    probe = parent(waiting(lab))
    assert parent(probe) == agent.popen.pid
    (lab.plugin / "go").touch()
    until(agent.report, "a report")
    agent.kill()
    until(lambda: not Path(f"/proc/{probe}/exe").exists(), "the probe to end")


def test_device_that_comes_and_goes_makes_runs(lab: Lab) -> None:
    dev = lab.directory / "root" / "dev"
    dev.mkdir(parents=True)
    lab.probe("Fine", host_root=str(dev.parent))
    agent = lab.agent()
    until(agent.report, "a report")
    (dev / "kvm").touch()
    until(lambda: agent.metric("runs_total", trigger="Device") == 1, "a run")
    (dev / "kvm").unlink()
    until(lambda: agent.metric("runs_total", trigger="Device") == 2, "another run")


def test_interval_makes_runs(lab: Lab) -> None:
    lab.probe("Fine")
    agent = lab.agent(interval=0.2)
    until(lambda: (agent.metric("runs_total", trigger="Interval") or 0) >= 2, "two runs")


def reply(peer: socket.socket) -> wire.Reply:
    (message,) = Decoder(wire.MAX_REPLY).feed(peer.recv(1 << 16))
    return wire.decode_reply(message)


def test_junk_on_the_socket_is_refused_and_the_next_run_done(lab: Lab) -> None:
    probe = lab.probe("Fine")
    for sent in (b"GET / HTTP/1.1\r\n\r\n", struct.pack("!I", 2) + b"{}", b"\xff" + os.urandom(1000)):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(60)
            peer.connect(lab.socket)
            peer.sendall(sent)
            assert isinstance(reply(peer), Refusal)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(60)
        peer.connect(lab.socket)
        peer.sendall(wire.encode_request(Hello()))
        assert isinstance(reply(peer), Welcome)
        peer.sendall(wire.encode_request(RunRequest(20, only=("Nonsense",))))
        refusal = reply(peer)
    assert isinstance(refusal, Refusal)
    assert "Nonsense: no such check" in refusal.reason
    entry = probe.wait_for_log("client connected")
    assert (entry["uid"], entry["pid"]) == (os.getuid(), os.getpid())
    assert reasons(until(lab.agent().report, "a report")) == {"Fine": "Good"}


@pytest.mark.parametrize("words", [("--config", "bad.toml"), ("--socket", "/dev/null")])
def test_wrong_configuration_and_socket_are_one_line_that_names_them(
    lab: Lab, words: tuple[str, str]
) -> None:
    (lab.directory / "bad.toml").write_text("[run]\nonyl = []\n")
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "probe", *words],
        cwd=lab.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert words[1] in done.stderr
    assert done.stderr.count("\n") == 1
