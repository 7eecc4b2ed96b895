"""The runner with real forks: whatever one check does, it costs that check's answer only."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
import waiting
from fakechecks import BAD, GOOD, POOR, VAGUE, fake

from preflight.check import ADVISORY, UNLESS_EMULATED, Check, Setting
from preflight.config import Config
from preflight.host import Host
from preflight.outcomes import CRASHED
from preflight.report import Mode, report_from_dict
from preflight.result import Finding, Result, Status, passing
from preflight.runner import Runner, UnknownCheckError


def runner(*checks: Check, config: Config | None = None, **options) -> Runner:
    return Runner(checks, Host(), config or Config(), node="worker-1", agent_version="0.1.0", **options)


def run(*checks: Check, **options):
    report = runner(*checks).run(**options)
    assert report_from_dict(report.to_dict()).results == tuple(
        result._replace(duration_seconds=round(result.duration_seconds, 6)) for result in report.results
    )
    return {result.check_name: result for result in report.results}


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def children() -> list[int]:
    return sorted(child.pid for child in psutil.Process().children())


def test_a_report_of_a_run() -> None:
    suite = runner(fake("A"), fake("KVM", weight=UNLESS_EMULATED), now=iter([1.0, 2.5]).__next__)
    report = suite.run()
    assert report.node == "worker-1"
    assert report.passed
    assert report.mode is Mode.HARDWARE
    assert [result.check_name for result in report.results] == ["KVM", "A"]
    assert (report.start_time, report.completion_time) == (
        "1970-01-01T00:00:01.000000Z",
        "1970-01-01T00:00:02.500000Z",
    )
    assert report.kernel_version == os.uname().release
    assert report.architecture == os.uname().machine
    assert report.agent_version == "0.1.0"
    assert report.boot_id == Host().boot_id()
    assert all(result.duration_seconds > 0 for result in report.results)


@pytest.mark.parametrize("ahead", [True, False])
def test_a_check_is_told_what_it_found_before(ahead: bool) -> None:
    def ask(host, run):
        return GOOD(f"after {run.previous and run.previous.message}")

    suite = runner(fake("A", ask), ahead=ahead)
    told = []
    for _ in range(3):
        if ahead:
            suite.prepare()
        told.append(suite.run().results[0].message)
    suite.close()
    assert told == ["after None", "after after None", "after after after None"]


def test_how_a_check_was_ended_is_not_what_it_found() -> None:
    def ask(host, run):
        if run.previous is not None:
            return GOOD("told")
        raise ValueError

    suite = runner(fake("A", ask))
    assert [suite.run().results[0].reason for _ in range(2)] == ["Crashed", "Crashed"]


def test_findings_arrive_as_they_were_made() -> None:
    def ask(host, run):
        return POOR("what came back", hint="a better hint", evidence={"/dev/kvm": "ENOENT"})

    result = run(fake("A", ask))["A"]
    assert result == Result(
        "A",
        Status.WARN,
        True,
        "Poor",
        "what came back",
        "a better hint",
        {"/dev/kvm": "ENOENT"},
        result.duration_seconds,
    )


def test_two_outcomes_of_one_reason_are_told_apart() -> None:
    mine, other = passing("Same"), VAGUE._replace(reason="Same")
    result = run(fake("A", lambda host, run: other("m"), outcomes=(mine, other)))["A"]
    assert (result.status, result.reason, result.hint) == (Status.UNKNOWN, "Same", VAGUE.hint)


def test_a_check_of_open_reasons_words_its_own() -> None:
    worded = BAD._replace(reason="DiskWorn")
    check = fake("A", lambda host, run: worded("98 % used"))
    (closed,) = runner(check).run().results
    assert (closed.reason, closed.message) == (
        "Crashed",
        "returned the outcome DiskWorn, which is not in its declaration",
    )
    (result,) = runner(check._replace(open_reasons=True)).run().results
    assert (result.status, result.reason, result.hint) == (Status.FAIL, "DiskWorn", "repair it")


@pytest.mark.parametrize("reason", ["disk worn", "", "X" * 64, "A\n"])
def test_a_worded_reason_is_camel_case_or_no_answer(reason: str) -> None:
    worded = BAD._replace(reason=reason)
    (result,) = runner(fake("A", lambda host, run: worded("m"))._replace(open_reasons=True)).run().results
    assert result.reason == "Crashed"
    assert "reason" in result.message


def test_a_check_of_open_reasons_keeps_the_runners_own() -> None:
    def broken(host, run):
        raise ValueError("no")

    def dies(host, run):
        os.kill(os.getpid(), signal.SIGTERM)

    results = (
        runner(
            fake("A", broken)._replace(open_reasons=True),
            fake("B", dies)._replace(open_reasons=True),
            fake("C", needs=("A",))._replace(open_reasons=True),
        )
        .run()
        .results
    )
    assert [result.reason for result in results] == ["Crashed", "Killed", "DependencyFailed"]
    assert results[0].hint == CRASHED.hint.replace("NAME", "A")


def test_results_are_told_as_they_come() -> None:
    told: list[str] = []
    runner(fake("A"), fake("B", BAD), fake("C", after=("B",))).run(
        on_result=lambda result: told.append(f"{result.check_name} {result.status}")
    )
    assert told == ["A Pass", "B Fail", "C Pass"]


def test_a_check_sees_its_run() -> None:
    def ask(host, run):
        told = {name: finding.outcome.reason for name, finding in run.findings.items()}
        return GOOD(f"{run.use_emulation} {told} {run.settings} {host.root}")

    minimum = Setting("minimum", 1, "Least.")
    path = Setting("path", "/var", "Where.")
    suite = runner(
        fake("A"),
        fake("B", BAD),
        fake("C"),
        fake("D", ask, needs=("A",), after=("B", "Absent"), settings=(minimum, path)),
        config=Config(settings={"D": {"minimum": 5}}),
    )
    report = suite.run(use_emulation=True)
    assert report.results[-1].message == ("True {'A': 'Good', 'B': 'Bad'} {'minimum': 5, 'path': '/var'} /")


# What goes wrong in a check, with the answer that it gets.


def raises(host, run):
    raise OSError(19, "No such device", "/dev/kvm")


def raises_without_a_text(host, run):
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    raise MuteError


def recurses(host, run):
    return recurses(host, run)


def exits(host, run):
    sys.exit(3)


def exits_at_once(host, run):
    os._exit(0)


def segfaults(host, run):
    ctypes.string_at(0)


def aborts(host, run):
    os.write(2, b"double free or corruption\n")
    os.abort()


def kills_itself(host, run):
    os.kill(os.getpid(), signal.SIGKILL)


def is_terminated(host, run):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def kills_its_group(host, run):
    os.killpg(0, signal.SIGKILL)


def prints_a_gigabyte(host, run):
    block = b"x" * (1 << 20)
    for _ in range(1024):
        os.write(1, block)
    return GOOD("printed")


def prints_lines_without_end(host, run):
    while True:
        print("still here", flush=True)


def closes_every_descriptor(host, run):
    os.closerange(3, 1024)
    return GOOD("closed")


def closes_every_descriptor_and_stays(host, run):
    os.closerange(0, 1024)
    time.sleep(60)


def puts_a_file_in_the_place_of_every_descriptor(host, run):
    os.closerange(3, 1024)
    for _ in range(64):
        os.open("/dev/null", os.O_WRONLY)
    return GOOD("replaced")


def writes_junk_into_every_descriptor(host, run):
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.write(int(name), b"\xff" * 64)
            except OSError:
                continue
    time.sleep(60)


def forges_an_answer(host, run):
    import json

    body = json.dumps({"check": "Other", "outcome": 0}).encode()
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.write(int(name), len(body).to_bytes(4, "big") + body)
            except OSError:
                continue
    time.sleep(60)


def returns_nothing(host, run):
    return None


def returns_an_undeclared_outcome(host, run):
    return passing("Invented")("m")


def returns_a_message_of_bytes(host, run):
    return Finding(GOOD, b"bytes")  # type: ignore[arg-type]  # wrong on purpose


def returns_evidence_of_numbers(host, run):
    return Finding(GOOD, "m", None, {"a": 1})  # type: ignore[dict-item]  # wrong on purpose


def returns_evidence_that_is_none(host, run):
    return Finding(GOOD, "m", None, ["a"])  # type: ignore[arg-type]  # wrong on purpose


def returns_an_outcome_of_another_kind(host, run):
    return Finding("Good", "m")  # type: ignore[arg-type]  # wrong on purpose


def leaks_descriptors(host, run):
    while True:
        os.open("/dev/null", os.O_RDONLY)


def runs_out_of_memory(host, run):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    return GOOD(str(len(bytearray(1 << 31))))


WRONG = [
    (raises, "Crashed", "OSError"),
    (raises_without_a_text, "Crashed", "MuteError: (its message cannot be shown: RuntimeError)"),
    (recurses, "Crashed", "RecursionError: maximum recursion depth exceeded"),
    (exits, "Crashed", "SystemExit: 3 (test_runner.py:"),
    (exits_at_once, "Crashed", "ended the process with exit status 0"),
    (segfaults, "Crashed", "the process was ended by SIGSEGV (Segmentation fault)"),
    (aborts, "Crashed", "the process was ended by SIGABRT (Aborted)"),
    (kills_itself, "Killed", "the process was ended by SIGKILL (Killed)"),
    (is_terminated, "Killed", "the process was ended by SIGTERM (Terminated)"),
    (kills_its_group, "Killed", "the process was ended by SIGKILL (Killed)"),
    (prints_a_gigabyte, "OutputTooLarge", "printed more than 65536 bytes"),
    (prints_lines_without_end, "OutputTooLarge", "printed more than 65536 bytes"),
    (closes_every_descriptor, "Crashed", "ended the process with exit status 1"),
    (closes_every_descriptor_and_stays, "Crashed", "closed the runner's pipe without an answer"),
    (puts_a_file_in_the_place_of_every_descriptor, "Crashed", "ended the process with exit status 1"),
    (writes_junk_into_every_descriptor, "Crashed", "something else than an answer came"),
    (forges_an_answer, "Crashed", "an answer that is none came through the runner's pipe: check: not B"),
    (returns_nothing, "Crashed", "returned NoneType in place of a finding"),
    (returns_an_undeclared_outcome, "Crashed", "returned the outcome Invented, which is not in its decl"),
    (returns_a_message_of_bytes, "Crashed", "returned Good with a message, hint or evidence that is not"),
    (returns_evidence_of_numbers, "Crashed", "returned Good with a message, hint or evidence that is not"),
    (returns_evidence_that_is_none, "Crashed", "returned Good with a message, hint or evidence that is"),
    (returns_an_outcome_of_another_kind, "Crashed", "returned the outcome str, which is not in its"),
    (leaks_descriptors, "Crashed", "OSError: [Errno 24] Too many open files"),
    (runs_out_of_memory, "Crashed", "MemoryError"),
]


@pytest.mark.parametrize(("function", "reason", "message"), WRONG, ids=[row[0].__name__ for row in WRONG])
def test_a_check_that_goes_wrong_costs_its_own_answer_only(function, reason: str, message: str) -> None:
    before, offspring = descriptors(), children()
    results = run(fake("A"), fake("B", function), fake("C"), fake("D", BAD), fake("E", needs=("B",)))
    assert results["B"].reason == reason
    assert results["B"].message.startswith(message)
    assert results["B"].status is Status.UNKNOWN
    assert not results["B"].passed
    assert results["B"].hint
    assert {name: results[name].reason for name in "ACDE"} == {
        "A": "Good",
        "C": "Good",
        "D": "Bad",
        "E": "DependencyFailed",
    }
    assert results["E"].message == f"needs B, which ended as Unknown ({reason})"
    assert descriptors() == before
    assert children() == offspring


def test_what_a_crashing_check_printed_is_shown() -> None:
    def ask(host, run):
        print("about to\x1b[31m fail")
        aborts(host, run)

    assert run(fake("A", ask))["A"].evidence == {
        "output": "about to\ufffd[31m fail double free or corruption"
    }


def test_a_check_that_prints_a_little_is_none_the_worse() -> None:
    def ask(host, run):
        print("x" * 50_000)
        os.write(2, b"x" * 10_000)
        return GOOD("printed")

    results = run(*(fake(name, ask) for name in "ABCDEF"))
    assert {result.reason for result in results.values()} == {"Good"}


def test_a_check_cannot_read_standard_input() -> None:
    assert run(fake("A", lambda host, run: GOOD(repr(os.read(0, 10)))))["A"].message == "b''"


def test_a_check_that_sleeps_for_ever_is_timed_out() -> None:
    results = run(fake("A"), fake("B", lambda host, run: time.sleep(3600), timeout=0.2), fake("C"))
    assert results["B"].reason == "TimedOut"
    assert results["B"].message == "no answer within 0.2 s"
    assert results["B"].status is Status.UNKNOWN
    assert results["B"].duration_seconds >= 0.2
    assert (results["A"].reason, results["C"].reason) == ("Good", "Good")


def test_a_check_that_ignores_every_signal_and_prints_all_the_time_is_timed_out() -> None:
    def ask(host, run):
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            os.write(1, b".")
            time.sleep(0.001)

    results = run(fake("A", ask, timeout=0.2), fake("B"))
    assert (results["A"].reason, results["B"].reason) == ("TimedOut", "Good")


def test_a_stopped_child_is_timed_out() -> None:
    results = run(fake("A", lambda host, run: os.kill(os.getpid(), signal.SIGSTOP), timeout=0.2), fake("B"))
    assert (results["A"].reason, results["B"].reason) == ("TimedOut", "Good")


def test_a_time_out_can_be_configured() -> None:
    def ask(host, run):
        time.sleep(3600)

    report = runner(fake("A", ask), config=Config(timeouts={"A": 0.1})).run()
    assert report.results[0].message == "no answer within 0.1 s"


def test_a_hint_of_the_runners_own_can_be_pasted() -> None:
    results = run(
        fake("Odd", lambda host, run: 1), fake("Slow", lambda host, run: time.sleep(9), timeout=0.1)
    )
    assert "--ignore Odd" in (results["Odd"].hint or "")
    assert "[checks.Slow]" in (results["Slow"].hint or "")


def test_the_whole_run_has_a_limit() -> None:
    def ask(host, run):
        time.sleep(3600)

    results = run(fake("A"), fake("B", ask), fake("C"), fake("D", BAD), timeout=2.0)
    assert [result.reason for result in results.values()] == ["Good", "TimedOut", "TimedOut", "TimedOut"]
    assert results["B"].message == "no answer: the run's 2 s were over"
    assert results["C"].message == "not asked: the run's 2 s were over"
    report = runner(fake("A", ask), config=Config(timeout=0.1)).run()
    assert report.results[0].reason == "TimedOut"


def test_what_a_check_leaves_behind_ends_with_the_run(tmp_path) -> None:
    def ask(host, run):
        child = subprocess.Popen(["sleep", "3600"])
        (tmp_path / "pid").write_text(str(child.pid))
        return GOOD("left a process behind")

    results = run(fake("A", ask), fake("B"))
    assert {result.reason for result in results.values()} == {"Good"}
    waiting.until(lambda: not alive(int((tmp_path / "pid").read_text())), "the end of the process")


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_forked_grandchild_that_keeps_the_pipe_open_holds_nothing_up(tmp_path) -> None:
    def ask(host, run):
        if (pid := os.fork()) == 0:
            time.sleep(3600)
            os._exit(0)
        (tmp_path / "pid").write_text(str(pid))
        os._exit(5)

    results = run(fake("A", ask), fake("B"))
    assert results["A"].message == "ended the process with exit status 5"
    assert results["B"].reason == "Good"
    waiting.until(lambda: not alive(int((tmp_path / "pid").read_text())), "the end of the process")


def test_what_an_earlier_check_left_behind_is_not_blamed_on_the_next() -> None:
    def leaves_a_thread(host, run):
        threading.Thread(target=lambda: (time.sleep(0.05), os._exit(9)), daemon=True).start()
        return GOOD("left a thread behind")

    def sleeps(host, run):
        time.sleep(0.3)
        return GOOD("slept")

    results = run(fake("A", leaves_a_thread), fake("B", sleeps), fake("C"))
    assert {result.reason for result in results.values()} == {"Good"}


def test_only_what_is_asked_for_is_reported_and_all_that_it_depends_on_is_run() -> None:
    told: list[str] = []
    suite = runner(fake("A", VAGUE), fake("B", after=("A",)), fake("C", needs=("B",)), fake("D", BAD))
    report = suite.run(only=["C"], on_result=lambda result: told.append(result.check_name))
    assert [(result.check_name, result.reason) for result in report.results] == [("C", "Good")]
    assert told == ["C"]
    assert report.passed
    assert report.mode is None


def test_the_mode_is_told_when_kvm_was_asked_for_only() -> None:
    suite = runner(fake("KVM", BAD, weight=UNLESS_EMULATED), fake("CPU", after=("KVM",)))
    assert suite.run(only=["CPU"], use_emulation=True).mode is None
    assert suite.run(only=["KVM"], use_emulation=True).mode is Mode.EMULATION
    assert suite.run().mode is Mode.NONE


def test_a_check_that_there_is_not_cannot_be_asked_for() -> None:
    with pytest.raises(UnknownCheckError, match=r"^Disk: no such check \(there are A, B\)$"):
        runner(fake("B"), fake("A")).run(only=["A", "Disk"])


def test_ignored_checks_are_run_and_shown() -> None:
    suite = runner(fake("A", BAD), fake("B", BAD), fake("C", BAD), config=Config(ignore=("A",)))
    report = suite.run(ignored=["B", "OnOtherNodes"])
    assert [(result.check_name, result.status, result.passed) for result in report.results] == [
        ("A", Status.WARN, True),
        ("B", Status.WARN, True),
        ("C", Status.FAIL, False),
    ]
    assert not report.passed


def test_weights_and_a_selection_can_be_configured() -> None:
    suite = runner(fake("A", BAD), fake("B", BAD), config=Config(only=("B",), weights={"B": ADVISORY}))
    report = suite.run()
    assert [(result.check_name, result.status) for result in report.results] == [("B", Status.WARN)]
    assert report.passed


def test_no_check_at_all_is_no_pass() -> None:
    report = runner().run()
    assert (report.passed, report.results, report.mode) == (False, (), None)


def test_a_child_that_cannot_be_killed_is_left_behind_and_its_device_with_it(tmp_path) -> None:
    asked = tmp_path / "asked"

    def hang(host, run):
        with asked.open("a") as file:
            file.write("asked\n")
        time.sleep(3600)

    unkilled: list[int] = []
    offspring = children()
    suite = runner(
        fake("KVM", hang, reads=("/dev/kvm (ioctl)",), timeout=1.0),
        fake("Latency", reads=("a guest of /dev/kvm, timed",)),
        fake("Tun", reads=("/dev/net/tun",)),
        fake("Using", needs=("KVM",)),
        kill=unkilled.append,
        patience=2.0,
    )
    for number in (1, 2):
        results = {result.check_name: result for result in suite.run().results}
        assert suite.stuck == 1, number
        assert results["KVM"].reason == "TimedOut"
        assert results["Latency"].reason == "TimedOut"
        assert results["Latency"].message == f"not asked: process {unkilled[0]} of KVM is stuck in the kernel"
        assert results["Tun"].reason == "Good"
        assert results["Using"].reason == "DependencyFailed"
    assert results["KVM"].message == results["Latency"].message
    assert asked.read_text() == "asked\n"
    os.kill(unkilled[0], signal.SIGKILL)
    waiting.until(lambda: suite.stuck == 0, "the end of the stuck child")
    assert {result.check_name: result.reason for result in suite.run(only=["Latency"]).results} == {
        "Latency": "Good"
    }
    assert children() == offspring


def test_a_program_that_cannot_be_killed_is_not_started_again(tmp_path) -> None:
    """As one that waits for a dead disk or server: its check's process ends, the program does not."""
    started = tmp_path / "started"

    def hang(host, run):
        with started.open("a") as file:
            file.write("started\n")
        subprocess.run(["sleep", "3600"], check=True)

    sessions: list[int] = []

    def kill_one(pid: int) -> None:
        sessions.append(pid)
        os.kill(pid, signal.SIGKILL)

    offspring = children()
    suite = runner(fake("A", hang, timeout=1.5), fake("B"), kill=kill_one, patience=2.0)
    for number in (1, 2):
        results = {result.check_name: result for result in suite.run().results}
        assert suite.stuck == 1, number
        assert (results["A"].reason, results["B"].reason) == ("TimedOut", "Good")
    assert results["A"].message == f"not asked: what A has started cannot be killed (session {sessions[0]})"
    assert f"ps -s {sessions[0]} " in (results["A"].hint or "")
    assert started.read_text() == "started\n"
    os.killpg(sessions[0], signal.SIGKILL)
    waiting.until(lambda: suite.stuck == 0, "the end of the program")
    assert suite.run(only=["A"]).results[0].message == "no answer within 1.5 s"
    os.killpg(sessions[-1], signal.SIGKILL)
    waiting.until(lambda: suite.stuck == 0, "the end of the second program")
    assert children() == offspring
