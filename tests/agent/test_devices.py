"""Changes of the device are told, by inotify on a real directory and from the bytes of kernel events."""

import fcntl
import os
import select
import struct
import subprocess
from pathlib import Path

import pytest
from realkvm import needs_root
from waiting import until

from agent import devices
from agent.devices import Directory, Source, Uevents, inotify_events, uevent_of_kvm

LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81
"""``include/uapi/linux/loop.h``"""


def told(directory: Source) -> list[str]:
    """Waits until something is to be read, and returns what it means."""
    assert select.select([directory], [], [], 60)[0]
    return list(directory.changes())


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    (tmp_path / "dev").mkdir()
    return tmp_path / "dev"


def test_node_that_comes_changes_and_goes_is_told(dev: Path) -> None:
    directory = Directory(str(dev))
    node = dev / "kvm"
    os.mkfifo(node, 0o600)
    assert told(directory) == [f"{node} appeared"]
    node.chmod(0o660)
    assert told(directory) == [f"{node} changed"]
    node.rename(dev / "other")
    assert told(directory) == [f"{node} disappeared"]
    (dev / "other").rename(node)
    assert told(directory) == [f"{node} appeared"]
    node.unlink()
    assert told(directory) == [f"{node} disappeared"]
    directory.close()
    directory.close()


def test_other_names_and_unchanged_nodes_are_not_told(dev: Path) -> None:
    node = dev / "kvm"
    node.touch(mode=0o600)
    directory = Directory(str(dev))
    (dev / "kvm_intel").touch()
    assert told(directory) == []
    node.chmod(node.stat().st_mode)
    assert told(directory) == []
    directory.close()


def test_directory_that_goes_away_takes_the_node_with_it(dev: Path) -> None:
    (dev / "kvm").touch()
    directory = Directory(str(dev))
    (dev / "kvm").unlink()
    dev.rmdir()
    assert told(directory) == [f"{dev}/kvm disappeared"]
    assert list(directory.changes()) == []
    directory.close()


def test_directory_that_comes_back_is_watched_again(dev: Path) -> None:
    directory = Directory(str(dev))
    dev.rmdir()
    assert told(directory) == []
    dev.mkdir()
    (dev / "kvm").touch()
    assert told(directory) == [f"{dev}/kvm appeared"]
    list(directory.changes())
    (dev / "kvm").unlink()
    assert told(directory) == [f"{dev}/kvm disappeared"]
    dev.rename(dev.parent / "old")
    (dev.parent / "new").mkdir()
    (dev.parent / "new/kvm").touch()
    (dev.parent / "new").rename(dev)
    assert told(directory) == [f"{dev}/kvm appeared"]
    directory.close()


def test_directory_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    (directory,), errors = devices.sources(str(tmp_path))
    assert errors == []
    (tmp_path / "other").mkdir()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kvm").touch()
    assert told(directory) == [f"{tmp_path}/dev/kvm appeared"]
    directory.close()


def test_missing_root_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Directory(str(tmp_path / "root/dev"))
    assert caught.value.filename == str(tmp_path / "root/dev")
    watched, errors = devices.sources(str(tmp_path / "root"))
    assert watched == []
    assert [error.filename for error in errors] == [caught.value.filename]


def test_linked_directory_is_looked_for_inside_the_root(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "dev").symlink_to("/real")
    (directory,), _ = devices.sources(str(tmp_path))
    (tmp_path / "real/kvm").touch()
    assert told(directory) == [f"{tmp_path}/real/kvm appeared"]
    directory.close()


def test_uevents_are_listened_to_on_the_machine_itself_only(dev: Path) -> None:
    watched, errors = devices.sources(str(dev.parent))
    assert [type(source) for source in watched] == [Directory]
    assert errors == []
    watched[0].close()


@needs_root
def test_what_the_kernel_itself_makes_and_removes_is_told_below_a_host_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a module that is unloaded takes its node away: devtmpfs, seen through a mount, as in the pod."""
    if " /dev devtmpfs " not in Path("/proc/mounts").read_text():
        pytest.skip("/dev is no devtmpfs here")
    try:
        control = os.open("/dev/loop-control", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"no loop device can be made here: {error}")
    number = 70_000 + os.getpid()
    dev = tmp_path / "dev"
    dev.mkdir()
    subprocess.run(["mount", "--bind", "/dev", dev], check=True)
    monkeypatch.setattr(devices, "NAME", f"loop{number}")
    try:
        (directory,), _ = devices.sources(str(tmp_path))
        fcntl.ioctl(control, LOOP_CTL_ADD, number)
        until(lambda: f"{dev}/loop{number} appeared" in directory.changes(), "the node that appears")
        fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
        until(lambda: f"{dev}/loop{number} disappeared" in directory.changes(), "the node that goes")
        directory.close()
    finally:
        os.close(control)
        subprocess.run(["umount", "--lazy", dev], check=True)


def test_uevent_socket_is_silent_while_nothing_happens() -> None:
    try:
        uevents = Uevents()
    except OSError as error:
        pytest.skip(f"no uevents here: {error}")
    assert uevents.fileno() >= 0
    assert [change for change in uevents.changes() if "kvm" in change] == []
    uevents.close()


ADD = (
    b"add@/devices/virtual/misc/kvm\0ACTION=add\0DEVPATH=/devices/virtual/misc/kvm\0SUBSYSTEM=misc\0"
    b"MAJOR=10\0MINOR=232\0DEVNAME=kvm\0SEQNUM=4711\0"
)


@pytest.mark.parametrize(
    ("datagram", "action"),
    [
        (ADD, "add"),
        (ADD.replace(b"ACTION=add", b"ACTION=remove"), "remove"),
        (ADD.replace(b"DEVNAME=kvm", b"DEVNAME=kvm2"), None),
        (ADD.replace(b"SUBSYSTEM=misc", b"SUBSYSTEM=block"), None),
        (ADD.replace(b"ACTION=add", b"ACTION="), None),
        (ADD.replace(b"ACTION=add", b"ACTION=change") + b"EVENT=create\0COUNT=1\0PID=5\0", None),
        (b"", None),
        (b"\xff\0=\0=x", None),
    ],
)
def test_uevent_is_about_kvm_or_not(datagram: bytes, action: str | None) -> None:
    assert uevent_of_kvm(datagram) == action


def test_inotify_events_are_read_with_their_padding() -> None:
    data = struct.pack("iIII", 1, devices.IN_CREATE, 0, 16) + b"kvm".ljust(16, b"\0")
    data += struct.pack("iIII", -1, devices.IN_Q_OVERFLOW, 0, 0)
    assert list(inotify_events(data)) == [(devices.IN_CREATE, "kvm"), (devices.IN_Q_OVERFLOW, "")]
    assert list(inotify_events(data[:10])) == []
