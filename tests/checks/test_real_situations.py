"""Situations on the real kernel: what stands at ``/dev/kvm``, in a mount, behind a link.

Each truth is the kernel's: nodes are made by mknod, mounts in a mount namespace. The program itself is asked.
"""

import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import situations
from program import command
from realkvm import needs_kvm, needs_root

from checks import kvm as module
from checks.kvm import kvm
from preflight.check import Run
from preflight.host import Host

HAVE_X86 = os.uname().machine in ("x86_64", "i686")
RUNS = module.GUEST_RAN if HAVE_X86 else module.VCPU_CREATED


def told(root: Path, name: str = "KVM") -> tuple[str, str, str, str]:
    return situations.run(lambda: None, "--only", name, "--host-root", str(root)).told(name)


def node(path: Path, number: tuple[int, int] = (10, 232), kind: int = stat.S_IFCHR) -> None:
    os.mknod(path, kind | 0o600, os.makedev(*number))


@needs_kvm
def test_this_machine_runs_a_guest() -> None:
    finding = kvm(Host(), Run())
    assert finding.outcome is RUNS
    assert finding.evidence["KVM_GET_API_VERSION"] == "12"


@needs_kvm
@needs_root
def test_a_node_of_the_right_number_works_wherever_it_stands(root: Path) -> None:
    node(root / "dev/kvm")
    assert told(root)[:2] == (RUNS.reason, "Pass")


@needs_kvm
@needs_root
@pytest.mark.parametrize("target", ["/dev/other", "other", "../dev/other", "link", "/../../dev/other"])
def test_a_link_inside_the_root_is_followed_inside_it(root: Path, target: str) -> None:
    node(root / "dev/other")
    (root / "dev/link").symlink_to("/dev/other")
    (root / "dev/kvm").symlink_to(target)
    assert told(root)[:2] == (RUNS.reason, "Pass")


@needs_kvm
@needs_root
def test_a_link_out_of_the_root_finds_nothing(root: Path) -> None:
    """The device would be found through ``/proc/1/root`` or ``..``, but it is not the host's."""
    (root / "dev/kvm").symlink_to("/" + "../" * 20 + "dev/null")
    assert told(root)[0] == "DeviceMissing"


@needs_kvm
def test_absent(root: Path) -> None:
    reason, status, message, hint = told(root)
    assert (reason, status) == ("DeviceMissing", "Fail")
    assert "10:232" in message
    assert "mknod -m 660 /dev/kvm c 10 232" in hint


@needs_kvm
@pytest.mark.parametrize(
    "target", ["kvm", "/dev/kvm", "/nowhere", "/etc/passwd/kvm", "x" * 300, "/" + "a/" * 200]
)
def test_links_to_nowhere(root: Path, target: str) -> None:
    (root / "dev/kvm").symlink_to(target)
    reason, status, message, hint = told(root)
    assert (reason, status) == ("DeviceMissing", "Fail")
    assert f"a link to {target}" in message
    assert "rm /dev/kvm && mknod" in hint


@needs_kvm
@pytest.mark.parametrize("target", ["\n", "\x1b[31m", "a b", "'$(touch x)'"])
def test_a_link_of_odd_bytes_is_told_on_one_line(root: Path, target: str) -> None:
    (root / "dev/kvm").symlink_to(target)
    reason, _, message, _ = told(root)
    assert reason == "DeviceMissing"
    assert message.isprintable()


@needs_kvm
def test_a_link_that_is_no_text(root: Path) -> None:
    os.symlink(b"\xff\xfe", os.fsencode(root / "dev/kvm"))
    reason, _, message, _ = told(root)
    assert reason == "DeviceMissing"
    assert message.isprintable()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("device", ["/dev/kvm", "/dev/net/tun", "/dev/vhost-net"])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Path.touch, "a plain file"),
        (Path.mkdir, "a directory"),
        (os.mkfifo, "a FIFO"),
        (make_socket, "a socket"),
    ],
)
def test_what_is_no_device_is_not_opened(
    root: Path, device: str, make: Callable[[Path], object], kind: str
) -> None:
    """Opening a FIFO would wait for its other end."""
    name = {"/dev/kvm": "KVM", "/dev/net/tun": "Tun", "/dev/vhost-net": "VhostNet"}[device]
    make(root / device[1:])
    reason, status, message, hint = told(root, name)
    assert (reason, status) == ("NotCharacterDevice", "Warn" if name == "VhostNet" else "Fail")
    assert f"{device} is {kind}, not a character device; it was not opened" in message
    assert f"{device} c 10 " in hint


@needs_root
@pytest.mark.parametrize(
    ("kind", "number", "expected", "words"),
    [
        (stat.S_IFBLK, (10, 232), "NotCharacterDevice", "a block device"),
        (stat.S_IFBLK, (7, 0), "NotCharacterDevice", "a block device"),
        (stat.S_IFCHR, (1, 3), "WrongDevice", "1:3"),
        (stat.S_IFCHR, (1, 5), "StaleDevice", "1:5"),  # /dev/zero, of which this root's sysfs knows nothing
        (stat.S_IFCHR, (10, 200), "WrongDevice", "the device tun"),
        (stat.S_IFCHR, (10, 229), "WrongDevice", "the device fuse"),
        (stat.S_IFCHR, (10, 99), "StaleDevice", "no driver stands behind 10:99"),
        (stat.S_IFCHR, (0, 0), "StaleDevice", "0:0"),
        (stat.S_IFCHR, (4095, 1048575), "StaleDevice", "4095:1048575"),
    ],
)
def test_nodes_of_other_numbers(
    root: Path, kind: int, number: tuple[int, int], expected: str, words: str
) -> None:
    minors = [line.split()[0] for line in Path("/proc/misc").read_text().splitlines()]
    if number[0] == 10 and number[1] != 232 and (expected == "WrongDevice") is (str(number[1]) not in minors):
        pytest.skip(f"misc minor {number[1]} is {'taken' if expected == 'StaleDevice' else 'free'} here")
    node(root / "dev/kvm", number, kind)
    reason, status, message, _ = told(root)
    assert (reason, status) == (expected, "Fail")
    assert words in message


@needs_root
def test_another_device_at_the_places_of_tun_and_vhost(root: Path) -> None:
    node(root / "dev/net/tun", (1, 5))
    node(root / "dev/vhost-net", (10, 200))
    answer = situations.run(lambda: None, "--only", "Tun,VhostNet", "--host-root", str(root))
    for name, number, status in (("Tun", "1:5", "Fail"), ("VhostNet", "10:200", "Warn")):
        reason, told_status, message, _ = answer.told(name)
        assert (reason, told_status) == ("WrongDevice", status)
        assert f"is {number}" in message


@needs_kvm
@needs_root
@pytest.mark.parametrize("between", ["a FIFO", "a plain file", "another device", "nothing"])
def test_a_device_that_is_replaced_while_it_is_opened(root: Path, between: str) -> None:
    """It is not taken for what stood there before, and opening it does not wait."""
    path = root / "dev/kvm"
    node(path)

    class Racing(Host):
        looks = 0

        def stat(self, path_: str, *, follow: bool = True) -> os.stat_result:
            found = super().stat(path_, follow=follow)
            self.looks += 1
            if self.looks == 2:  # what is opened next
                path.unlink()
                if between == "a FIFO":
                    os.mkfifo(path)
                elif between == "a plain file":
                    path.touch()
                elif between == "another device":
                    node(path, (1, 5))
            return found

    outcome = kvm(Racing(str(root)), Run()).outcome
    assert outcome is (module.DEVICE_MISSING if between == "nothing" else module.NOT_CHARACTER_DEVICE)


def program(prepare: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the program after shell commands in a mount namespace of its own."""
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{prepare} exec "$@"', "sh", *command("run", *words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@needs_kvm
@needs_root
@pytest.mark.parametrize(
    ("prepare", "reason", "words"),
    [
        (
            "mount -t tmpfs -o nodev none /dev; mknod /dev/kvm c 10 232;",
            "NodevMount",
            "the file system that it is on (tmpfs at /dev) is mounted nodev",
        ),
        (
            "mount --bind /dev/kvm /dev/kvm; mount -o remount,bind,nodev /dev/kvm;",
            "NodevMount",
            "(devtmpfs at /dev/kvm) is mounted nodev",
        ),
        ("mount -t tmpfs none /dev;", "DeviceNotInContainer", "10:232"),
        ("mount -t tmpfs none /dev; mknod /dev/kvm c 10 232;", RUNS.reason, "opens"),
        ("mount --bind /dev/kvm /dev/kvm; mount -o remount,bind,ro /dev/kvm;", RUNS.reason, "opens"),
        ("mount --bind /dev/null /dev/kvm;", "WrongDevice", "1:3"),
        ("mount -t tmpfs none /proc;", RUNS.reason, "opens"),
        ("mount -t tmpfs none /sys;", RUNS.reason, "opens"),
        ("umount -l /sys /proc;", RUNS.reason, "opens"),
        ("mount -o remount,bind,ro /proc;", RUNS.reason, "opens"),
        ("mount -o remount,bind,ro /;", RUNS.reason, "opens"),
    ],
)
def test_mounts(prepare: str, reason: str, words: str) -> None:
    """Where ``/dev/null`` is missing or refused, a check must still be asked: that may be what is wrong."""
    ended = program(prepare, "--only", "KVM")
    assert ended.stderr == ""
    assert ended.stdout.split()[2] == reason
    assert words in ended.stdout
    assert ended.returncode == (0 if reason == RUNS.reason else 1)


@needs_kvm
@needs_root
@pytest.mark.parametrize(
    "prepare", ["mount -t tmpfs none /proc;", "mount -t tmpfs none /sys;", "umount -l /sys /proc;"]
)
def test_nothing_crashes_without_proc_or_sys(prepare: str) -> None:
    ended = program(prepare)
    assert ended.stderr == ""
    assert "Crashed" not in ended.stdout
    assert ended.stdout.split()[:3] == ["KVM", "Pass", RUNS.reason]


@needs_kvm
@needs_root
@pytest.mark.parametrize(
    "prepare", ["mount -t tmpfs none /proc;", "mount -t tmpfs none /dev; umount -l /sys /proc;"]
)
def test_a_missing_device_without_proc_is_no_pass_and_no_guess(prepare: str) -> None:
    ended = program(prepare + "mount -t tmpfs none /dev;", "--only", "KVM,Tun")
    assert ended.stderr == ""
    assert ended.returncode == 1
    assert "Crashed" not in ended.stdout
    assert ended.stdout.split()[1] == "Unknown"


@needs_kvm
@needs_root
def test_the_hint_of_a_nodev_mount_ends_it() -> None:
    broken = "mount -t tmpfs -o nodev none /dev; mknod /dev/kvm c 10 232;"
    hint = program(broken, "--only", "KVM").stdout.splitlines()[1].removeprefix("KVM hint: ")
    assert hint == "mount -o remount,dev /dev"
    assert program(f"{broken} {hint};", "--only", "KVM").stdout.split()[2] == RUNS.reason
