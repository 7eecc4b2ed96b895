import re

import pytest
from reports import EVERY_STATUS, report

from cli.text import plain, table
from preflight.report import Mode
from preflight.result import Result, Status

GOOD = Result("KVM", Status.PASS, True, "GuestRan", "a guest ran")


def test_plain_lines_are_stable():
    assert plain(report(*EVERY_STATUS)).splitlines() == [
        "KVM Fail DeviceMissing /dev/kvm: No such file or directory",
        "KVM hint: mknod /dev/kvm c 10 232",
        "CPU Pass FlagPresent vmx on all 2 CPUs",
        "Emulation Skip NotNeeded KVM works",
        "Tun Unknown AccessDenied open /dev/net/tun: EPERM",
        "Tun hint: run as root",
        "VhostNet Warn DeviceMissing /dev/vhost-net is not there",
        "VhostNet hint: modprobe vhost_net",
        "node worker-0 failed mode=None",
    ]


def test_a_table_without_colour_has_no_escapes_and_keeps_its_width():
    shown = table(report(*EVERY_STATUS), width=80, colour=False)
    assert "\033" not in shown
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "→ mknod /dev/kvm c 10 232" in shown


def test_a_table_in_colour_is_the_same_text():
    bare = table(report(*EVERY_STATUS), width=80, colour=False)
    coloured = table(report(*EVERY_STATUS), width=80, colour=True)
    assert "\033[31m" in coloured
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == bare


def test_a_hint_is_one_line_that_can_be_pasted():
    command = "echo " + "word " * 60 + "end"
    shown = table(report(Result("KVM", Status.FAIL, False, "R", "m", command)), width=80, colour=False)
    assert f"→ {command}" in shown


@pytest.mark.parametrize(
    ("result", "mode", "answer"),
    [
        (GOOD, Mode.HARDWARE, "✔ Yes, with hardware virtualization."),
        (GOOD, Mode.EMULATION, "✔ Yes, under software emulation: slowly."),
        (GOOD, Mode.NONE, "✔ Passed, but only because KVM is ignored: VMs cannot run here."),
        (GOOD, None, "✔ What was asked passed. KVM was not asked, so this is no answer yet."),
        (EVERY_STATUS[0], Mode.NONE, "✘ No: KVM did not pass."),
    ],
)
def test_the_last_line_answers(result, mode, answer):
    assert table(report(result, mode=mode), width=80, colour=False).splitlines()[-1] == answer


def test_no_result_is_no_pass():
    assert table(report(), width=80, colour=False).splitlines()[-1] == "✘ No: no check was run."


def test_control_characters_do_not_reach_the_terminal():
    hostile = Result("KVM", Status.FAIL, False, "R", "\033[2Jgone\rhidden", "a\x00b")
    for shown in (plain(report(hostile, node="\033[31mx")), table(report(hostile), width=80, colour=False)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", shown)


def test_what_fails_the_node_stands_last_above_the_verdict():
    """Where the eye is when the command has ended; what is fine takes one line."""
    shown = table(report(*EVERY_STATUS), width=80, colour=False).splitlines()
    assert shown == [
        "Can worker-0 run virtual machines?",
        "",
        "  ✔ Pass    CPU        FlagPresent: vmx on all 2 CPUs",
        "  - Skip    Emulation  NotNeeded: KVM works",
        "  ! Warn    VhostNet   DeviceMissing",
        "            /dev/vhost-net is not there",
        "            → modprobe vhost_net",
        "  ✘ Fail    KVM        DeviceMissing",
        "            /dev/kvm: No such file or directory",
        "            → mknod /dev/kvm c 10 232",
        "  ? Unknown Tun        AccessDenied",
        "            open /dev/net/tun: EPERM",
        "            → run as root",
        "",
        "✘ No: KVM, Tun did not pass.",
    ]


@pytest.mark.parametrize("width", [1, 60, 80, 200])
def test_what_is_fine_never_takes_more_than_a_line(width):
    long = Result("Nested", Status.PASS, True, "NestingWorks", "word " * 100 + "end")
    lines = table(report(long), width=width, colour=False).splitlines()
    (line,) = [line for line in lines if "Nested" in line]
    assert len(line) <= max(width, 60)
    assert line.endswith("…")
    assert "end" in plain(report(long))


@pytest.mark.parametrize("width", [20, 80, 300])
def test_a_hint_has_nothing_in_it_but_its_own_text(width):
    command = "printf 'a \\n' > /etc/x && " + "y" * 200
    coloured = table(report(Result("KVM", Status.FAIL, False, "R", "m", command)), width=width, colour=True)
    (line,) = [line for line in coloured.splitlines() if "→" in line]
    assert line.partition("→ ")[2] == command + "\033[0m"
