import errno
import os
import re
import socket
import stat
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from preflight.device import Device
from preflight.host import Host


@pytest.fixture
def host(tmp_path) -> Host:
    for folder in ("dev", "etc", "proc/sys/kernel/random"):
        (tmp_path / folder).mkdir(parents=True)
    return Host(str(tmp_path))


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def test_a_file_is_read_below_the_root(host: Host, tmp_path) -> None:
    (tmp_path / "etc/os-release").write_text("ID=debian\n")
    assert host.read_text("/etc/os-release") == "ID=debian\n"
    assert host.read_bytes("/etc/os-release", limit=4) == b"ID=d"


def test_the_path_layer_on_a_made_file_system(fs: FakeFilesystem) -> None:
    fs.create_file("/host/etc/modprobe.d/kvm.conf", contents="blacklist kvm\n")
    fs.create_symlink("/host/lib", "/usr/lib")
    fs.create_dir("/host/usr/lib/modules")
    host = Host("/host")
    assert host.read_text("/etc/modprobe.d/kvm.conf") == "blacklist kvm\n"
    assert host.listdir("/lib") == ["modules"]
    assert host.readlink("/lib") == "/usr/lib"
    assert host.exists("/lib/modules")
    assert not host.exists("/dev/kvm")


def test_links_of_the_host_stay_on_the_host(host: Host, tmp_path) -> None:
    (tmp_path / "etc/real").write_text("inside")
    (tmp_path / "etc/link").symlink_to("/etc/real")
    assert host.read_text("/etc/link") == "inside"
    assert stat.S_ISREG(host.stat("/etc/link").st_mode)
    assert stat.S_ISLNK(host.stat("/etc/link", follow=False).st_mode)
    (tmp_path / "etc/passwd-link").symlink_to("/etc/passwd")
    with pytest.raises(FileNotFoundError):
        host.read_text("/etc/passwd-link")


def test_errors_name_the_path_of_the_host(host: Host, tmp_path) -> None:
    (tmp_path / "etc/file").touch()
    (tmp_path / "etc/loop").symlink_to("loop")
    for call in (host.read_bytes, host.read_text, host.stat, host.statvfs, host.listdir, host.open_device):
        with pytest.raises(FileNotFoundError) as caught:
            call("/absent/file")
        assert caught.value.filename == "/absent/file"
        assert caught.value.strerror == "No such file or directory"
        with pytest.raises(OSError, match="/etc/loop") as looped:
            call("/etc/loop")
        assert looped.value.errno == errno.ELOOP
        with pytest.raises(OSError, match="Invalid argument") as invalid:
            call("/etc/with\0nul")
        assert invalid.value.errno == errno.EINVAL
    with pytest.raises(NotADirectoryError):
        host.listdir("/etc/file")
    with pytest.raises(OSError, match="/etc/file") as no_link:
        host.readlink("/etc/file")
    assert no_link.value.errno == errno.EINVAL


def test_what_is_no_file_is_neither_waited_for_nor_left_open(host: Host, tmp_path) -> None:
    os.mkfifo(tmp_path / "etc/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        before = open_descriptors()
        assert host.read_bytes("/etc/fifo") == b""
        with pytest.raises(IsADirectoryError) as caught:
            host.read_bytes("/etc")
        assert caught.value.filename == "/etc"
        with pytest.raises(OSError, match="'/s'") as no_device:
            host.read_bytes("/s")
        assert no_device.value.errno == errno.ENXIO
        assert open_descriptors() == before


def test_a_fifo_that_somebody_holds_open_is_not_waited_for(host: Host, tmp_path) -> None:
    os.mkfifo(tmp_path / "etc/fifo")
    holder = os.open(tmp_path / "etc/fifo", os.O_RDWR)
    try:
        with pytest.raises(BlockingIOError):
            host.read_bytes("/etc/fifo")
    finally:
        os.close(holder)


def test_junk_is_read_as_text(host: Host, tmp_path) -> None:
    junk = bytes(range(256)) * 300
    (tmp_path / "etc/junk").write_bytes(junk)
    assert host.read_bytes("/etc/junk") == junk
    assert host.read_text("/etc/junk").count("\ufffd") == 128 * 300


def test_a_file_without_an_end_has_one() -> None:
    assert len(Host().read_bytes("/dev/zero", limit=200_000)) == 200_000


def test_only_a_character_device_is_opened(host: Host, tmp_path) -> None:
    (tmp_path / "dev/kvm").touch()
    os.mkfifo(tmp_path / "dev/fifo")
    (tmp_path / "dev/null").symlink_to("/dev/absent")
    for path in ("/dev/kvm", "/dev/fifo", "/dev"):
        with pytest.raises(OSError, match=f"'{path}'") as caught:
            host.open_device(path)
        assert caught.value.errno == errno.ENOTTY
    with pytest.raises(FileNotFoundError):
        host.open_device("/dev/null")


def test_a_block_device_is_not_opened(host: Host, tmp_path) -> None:
    try:
        os.mknod(tmp_path / "dev/kvm", stat.S_IFBLK | 0o600, os.makedev(7, 255))
    except PermissionError as error:
        pytest.skip(f"no device node can be made here: {error}")
    with pytest.raises(OSError, match="'/dev/kvm'") as caught:
        host.open_device("/dev/kvm")
    assert caught.value.errno == errno.ENOTTY


def test_a_device_answers_its_requests() -> None:
    with Host().open_device("/dev/null") as device:
        with pytest.raises(OSError, match="ioctl") as caught:
            device.ioctl(0xAE00)
        assert caught.value.errno == errno.ENOTTY
    device.close()


def test_a_device_closes_once() -> None:
    device = Device(os.open("/dev/null", os.O_RDWR))
    device.close()
    device.close()
    with pytest.raises((OSError, ValueError)):
        device.ioctl(0)


KMSG = (
    b"6,1,100,-;Linux version 6.18\n"
    b" SUBSYSTEM=cpu\n"
    b"4,2,200,-,caller=T1;kvm: disabled; by BIOS\n"
    b"14,3,300,-;kvm: user space says so\n"
    b"30,4,400,-;systemd[1]: Started.\n"
    b"3,5,500,c;kvm_amd: \xff broken\n"
)


def test_the_kernel_log(host: Host, tmp_path) -> None:
    (tmp_path / "dev/kmsg").write_bytes(KMSG)
    assert list(host.kernel_log()) == [
        "Linux version 6.18",
        "kvm: disabled; by BIOS",
        "kvm_amd: \ufffd broken",
    ]


def test_a_kernel_log_of_plain_lines(host: Host, tmp_path) -> None:
    (tmp_path / "dev/kmsg").write_bytes(b"[    0.1] kvm: no; hardware support\n\nlast line without an end")
    assert list(host.kernel_log()) == ["[    0.1] kvm: no; hardware support", "last line without an end"]


def test_a_long_kernel_log_is_not_cut_within_a_line(host: Host, tmp_path) -> None:
    lines = [f"message {number}" for number in range(20_000)]
    (tmp_path / "dev/kmsg").write_text("".join(f"6,1,1,-;{line}\n" for line in lines))
    assert list(host.kernel_log()) == lines


def test_a_kernel_log_without_an_end_of_line_is_not_kept(host: Host, tmp_path) -> None:
    (tmp_path / "dev/kmsg").write_bytes(b"\0" * (1 << 21) + b"\n6,1,1,-;a message\n")
    junk, message = host.kernel_log()
    assert len(junk) < 1 << 18
    assert message == "a message"


def test_a_kernel_log_that_is_not_there_or_no_log(host: Host, tmp_path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        list(host.kernel_log())
    assert caught.value.filename == "/dev/kmsg"
    os.mkfifo(tmp_path / "dev/kmsg")
    holder = os.open(tmp_path / "dev/kmsg", os.O_RDWR)
    try:
        assert list(host.kernel_log()) == []
    finally:
        os.close(holder)


def test_a_device_in_a_captured_tree_is_not_its_kernels_log(host: Host, tmp_path) -> None:
    try:
        os.mknod(tmp_path / "dev/kmsg", stat.S_IFCHR | 0o600, os.makedev(1, 11))
    except PermissionError as error:
        pytest.skip(f"no device node can be made here: {error}")
    try:
        os.close(os.open(tmp_path / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        pytest.skip(f"the kernel log cannot be read here: {error}")
    with pytest.raises(OSError, match="No such device: '/dev/kmsg'"):
        next(host.kernel_log())
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text(Host().boot_id())
    assert next(host.kernel_log())


def test_a_kernel_log_that_is_left_early_is_closed(host: Host, tmp_path) -> None:
    (tmp_path / "dev/kmsg").write_bytes(KMSG)
    before = open_descriptors()
    log = host.kernel_log()
    assert next(log) == "Linux version 6.18"
    log.close()  # type: ignore[attr-defined]  # it is a generator
    assert open_descriptors() == before


def test_the_real_kernel_log_of_this_machine() -> None:
    try:
        messages = list(Host().kernel_log())
    except OSError as error:
        pytest.skip(f"the kernel log cannot be read here: {error}")
    assert messages
    assert not [message for message in messages if "\n" in message or re.match(r"\d+,\d+,\d+,", message)]


def test_what_the_kernel_says_of_itself(host: Host, tmp_path) -> None:
    kernel = tmp_path / "proc/sys/kernel"
    (kernel / "osrelease").write_text("5.14.0-427.el9\n")
    (kernel / "arch").write_text("s390x\n")
    (kernel / "random/boot_id").write_text("1f0c\n")
    assert host.kernel_release() == "5.14.0-427.el9"
    assert host.machine() == "s390x"
    assert host.boot_id() == "1f0c"


def test_junk_in_what_the_kernel_says_of_itself(host: Host, tmp_path) -> None:
    kernel = tmp_path / "proc/sys/kernel"
    (kernel / "osrelease").write_bytes(b"\x1b[2J\xff\n" + b"x" * 1_000_000)
    (kernel / "arch").mkdir()
    assert host.kernel_release().isprintable()
    assert len(host.kernel_release()) <= 128
    assert host.machine() == ""
    assert host.boot_id() == ""


def test_a_captured_tree_has_nothing_of_our_own_kernel(host: Host, tmp_path) -> None:
    assert (host.kernel_release(), host.machine()) == ("", "")
    (tmp_path / "proc/version").write_text("Linux version 5.10.0-28-arm64 (gcc) #1 SMP\n")
    assert host.kernel_release() == "5.10.0-28-arm64"


def test_a_mounted_root_of_this_machine_has_its_kernel(host: Host, tmp_path) -> None:
    boot = tmp_path / "proc/sys/kernel/random"
    (boot / "boot_id").write_text(Host().boot_id() + "\n")
    assert (host.kernel_release(), host.machine()) == (os.uname().release, os.uname().machine)


def test_this_machine_is_itself() -> None:
    host = Host()
    assert host.kernel_release() == os.uname().release
    assert host.machine() == os.uname().machine
    assert len(host.boot_id()) == 36


def test_our_own_process_is_seen_whatever_the_root(host: Host) -> None:
    assert f"Pid:\t{os.getpid()}\n" in host.own_process("status")
    assert host.effective_user == os.geteuid()
    with pytest.raises(FileNotFoundError):
        host.own_process("absent")


def test_processes_are_those_of_the_host(tmp_path):
    ours = dict(Host().processes())
    assert os.getpid() in ours
    proc = tmp_path / "proc" / "42"
    proc.mkdir(parents=True)
    (proc / "stat").write_text(f"42 (VBoxHeadless) S {' '.join(['0'] * 60)}")
    (proc / "cmdline").write_text("")
    (tmp_path / "proc" / "stat").write_text("btime 1\n")
    assert Host(str(tmp_path)).processes() == [(42, "VBoxHeadless")]
    assert dict(Host().processes()).keys() >= {os.getpid()}


def test_no_proc_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Host(str(tmp_path)).processes()


def test_reads_from_a_place_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "msr").write_bytes(bytes(range(16)))
    host = Host(str(tmp_path))
    assert host.read_at("/msr", 4, 8) == bytes(range(4, 12))
    assert host.read_at("/msr", 14, 8) == b"\x0e\x0f"
    with pytest.raises(FileNotFoundError, match="/nothing"):
        host.read_at("/nothing", 0, 8)


def test_an_extended_attribute_is_read_below_the_root(host: Host, tmp_path) -> None:
    file = tmp_path / "etc/file"
    file.touch()
    try:
        os.setxattr(file, "user.some", b"value")
    except OSError as error:
        pytest.skip(f"no extended attributes on this file system: {error.strerror}")
    assert host.extended_attribute("/etc/file", "user.some") == b"value"
    with pytest.raises(OSError, match="'/etc/file'") as caught:
        host.extended_attribute("/etc/file", "user.other")
    assert caught.value.errno == errno.ENODATA


def test_what_access_2_says(host: Host, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc/file").touch()
    (tmp_path / "etc/loop").symlink_to("loop")
    assert host.may_access("/etc/file") is True
    assert host.may_access("/etc/none") is False
    assert host.may_access("/etc/loop") is None
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.F_OK and real(path, mode))
    assert host.may_access("/etc/file") is False
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as where access(2) itself is forbidden
    assert host.may_access("/etc/file") is None
