"""Situations on the real kernel: what stands at ``/dev/kvm`` below a root of our own, and who asks.

Each truth is the kernel's: nodes are made by mknod, mounts in a mount namespace, users by setpriv.
"""

import errno
import functools
import json
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from program import command
from realkvm import needs_kvm, needs_root

from checks import kvm as module
from checks.kvm import kvm
from linux.kvm import guest_x86
from preflight.check import Run
from preflight.host import Host
from preflight.result import Outcome, Status

PROJECT = Path(__file__).parents[2]
HAVE_X86 = os.uname().machine in ("x86_64", "i686")
RUNS = module.GUEST_RAN if HAVE_X86 else module.VCPU_CREATED


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host root whose ``proc`` and ``sys`` are this machine's, and whose ``dev`` is ours."""
    (tmp_path / "dev").mkdir()
    # Links below a root stay below it, so that files are copied.
    for path in ("proc/misc", "proc/cpuinfo", "proc/sys/kernel/osrelease", "sys/class/misc/kvm/dev"):
        if Path("/", path).exists():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(Path("/", path).read_bytes())
    (tmp_path / "sys/dev/char/1:3").mkdir(parents=True)
    return tmp_path


def outcome(root: Path) -> Outcome:
    finding = kvm(Host(str(root)), Run())
    assert finding.hint or finding.outcome.status is Status.PASS
    return finding.outcome


@needs_kvm
def test_this_machine_runs_a_guest() -> None:
    finding = kvm(Host(), Run())
    assert finding.outcome is RUNS
    assert finding.evidence == {"KVM_GET_API_VERSION": "12"}


@needs_kvm
@needs_root
def test_a_node_of_the_right_number_works_wherever_it_stands(root: Path) -> None:
    os.mknod(root / "dev/kvm", stat.S_IFCHR | 0o600, os.makedev(10, 232))
    assert outcome(root) is RUNS


@needs_kvm
@needs_root
def test_a_link_inside_the_root_is_followed_inside_it(root: Path) -> None:
    os.mknod(root / "dev/other", stat.S_IFCHR | 0o600, os.makedev(10, 232))
    (root / "dev/kvm").symlink_to("/dev/other")
    assert outcome(root) is RUNS


@needs_kvm
def test_absent(root: Path) -> None:
    assert outcome(root) is module.DEVICE_MISSING


@needs_kvm
@pytest.mark.parametrize("target", ["kvm", "/dev/kvm", "/nowhere"])
def test_links_to_nowhere(root: Path, target: str) -> None:
    (root / "dev/kvm").symlink_to(target)
    assert outcome(root) is module.DEVICE_MISSING


def test_a_plain_file(root: Path) -> None:
    (root / "dev/kvm").touch()
    assert outcome(root) is module.NOT_CHARACTER_DEVICE


def test_a_directory(root: Path) -> None:
    (root / "dev/kvm").mkdir()
    assert outcome(root) is module.NOT_CHARACTER_DEVICE


def test_a_fifo_does_not_block(root: Path) -> None:
    os.mkfifo(root / "dev/kvm")
    assert outcome(root) is module.NOT_CHARACTER_DEVICE


def test_a_socket(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "dev")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("kvm")
        assert outcome(root) is module.NOT_CHARACTER_DEVICE


@needs_root
@pytest.mark.parametrize(
    ("kind", "number", "expected"),
    [
        (stat.S_IFBLK, (10, 232), module.NOT_CHARACTER_DEVICE),
        (stat.S_IFCHR, (1, 3), module.WRONG_DEVICE),
        (stat.S_IFCHR, (10, 200), module.WRONG_DEVICE),
        (stat.S_IFCHR, (10, 99), module.STALE_DEVICE),
    ],
)
def test_nodes_of_other_numbers(root: Path, kind: int, number: tuple[int, int], expected: Outcome) -> None:
    minors = [line.split()[0] for line in Path("/proc/misc").read_text().splitlines()]
    if number == (10, 99) and "99" in minors:
        pytest.skip("misc minor 99 is taken on this machine")
    if number == (10, 200) and "200" not in minors:
        pytest.skip("no tun on this machine")
    os.mknod(root / "dev/kvm", kind | 0o600, os.makedev(*number))
    assert outcome(root) is expected


ASK = (
    "import json, sys; from checks.kvm import kvm; from preflight.check import Run; "
    "from preflight.host import Host; "
    "found = kvm(Host(sys.argv[1]), Run()); "
    "print(json.dumps([found.outcome.reason, found.outcome.status, found.message, found.hint]))"
)


def ask_in(*wrapper: str, root: Path) -> list[str]:
    """Asks in another process, wrapped by a command that sets its situation up."""
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", ASK, str(root)],
        check=True,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=60,
    )
    answer = json.loads(done.stdout)
    assert isinstance(answer, list)
    return answer


@needs_kvm
@needs_root
def test_a_file_system_mounted_nodev(root: Path) -> None:
    script = f'mount -t tmpfs -o nodev none {root}/dev && mknod {root}/dev/kvm c 10 232 && exec "$@"'
    reason, status, message, hint = ask_in("unshare", "-m", "sh", "-c", script, "sh", root=root)
    assert (reason, status) == ("NodevMount", "Fail")
    assert "nodev" in message
    assert "remount,dev" in hint


@needs_kvm
@needs_root
def test_our_own_dev_hidden_by_an_empty_one(root: Path) -> None:
    script = 'mount -t tmpfs none /dev && exec "$@"'
    reason, status, message, _ = ask_in("unshare", "-m", "sh", "-c", script, "sh", root=Path("/"))
    assert (reason, status) == ("DeviceNotInContainer", "Unknown")
    assert "10:232" in message


@needs_kvm
@needs_root
@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        ("mount -t tmpfs -o nodev none /dev; mknod /dev/kvm c 10 232", "NodevMount"),
        ("mount -t tmpfs none /dev", "DeviceNotInContainer"),
        ("mount -t tmpfs none /proc", RUNS.reason),
    ],
)
def test_the_program_itself_needs_neither_dev_nor_proc(prepare: str, reason: str) -> None:
    """Where ``/dev/null`` is missing or refused, a check must still be asked: that may be what is wrong."""
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{prepare}; exec "$@"', "sh", *command("run", "--only", "KVM")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert ended.stderr == ""
    assert ended.stdout.split()[2] == reason


@pytest.fixture
def open_root(root: Path) -> Iterator[Path]:
    """A host root that every user may look into, with the device of group kvm in it."""
    os.mknod(root / "dev/kvm", stat.S_IFCHR | 0o660, os.makedev(10, 232))
    os.chown(root / "dev/kvm", 0, 107)
    (root / "dev/kvm").chmod(0o660)
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nkvm:x:107:\n")
    with tempfile.TemporaryDirectory() as directory:
        moved = Path(directory, "root")
        root.rename(moved)
        Path(directory).chmod(0o755)
        moved.chmod(0o755)
        yield moved


def ask_as(prepare: Callable[[], object], root: Path) -> list[str]:
    """Asks in a child of this process: the user that it becomes may not be able to read our modules."""
    from linux.diagnosis import calls, node, refusal

    assert calls
    assert node
    assert refusal
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            prepare()
            found = kvm(Host(str(root)), Run())
            answer = [found.outcome.reason, found.outcome.status, found.message, found.hint]
            os.write(writer, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer_file:
        data = answer_file.read()
    os.waitpid(child, 0)
    answer = json.loads(data)
    assert isinstance(answer, list)
    return answer


def become(user: int, group: int) -> Callable[[], object]:
    return lambda: (os.setgroups([]), os.setgid(group), os.setuid(user))


@needs_kvm
@needs_root
def test_an_ordinary_user(open_root: Path) -> None:
    reason, status, message, hint = ask_as(become(65534, 65534), open_root)
    assert (reason, status) == ("PermissionDenied", "Unknown")
    assert "root:kvm with mode 0660" in message
    assert "usermod -aG kvm" in hint


@needs_kvm
@needs_root
def test_an_ordinary_user_of_the_group(open_root: Path) -> None:
    assert ask_as(become(65534, 107), open_root)[0] == RUNS.reason


@needs_kvm
@needs_root
def test_a_directory_that_may_not_be_searched(open_root: Path) -> None:
    (open_root / "dev").chmod(0o700)
    reason, status, message, _ = ask_as(become(65534, 107), open_root)
    assert (reason, status) == ("PermissionDenied", "Unknown")
    assert "search" in message


@needs_kvm
@needs_root
def test_out_of_descriptors(open_root: Path) -> None:
    def exhaust() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        with suppress(OSError):
            while True:
                os.dup(0)

    reason, status, message, hint = ask_as(exhaust, open_root)
    assert (reason, status) == ("ResourceExhausted", "Unknown")
    assert "EMFILE" in message
    assert hint


@needs_kvm
@needs_root
@pytest.mark.skipif(not HAVE_X86, reason="the guest is x86 code")
def test_a_guest_that_never_ends(open_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GUEST_SECONDS", 0.1)
    endless = functools.partial(guest_x86.run, code=b"\xeb\xfe")
    monkeypatch.setattr(module.guests, "find", lambda machine: endless)
    reason, status, _, hint = ask_as(lambda: None, open_root)
    assert (reason, status) == ("GuestTimedOut", "Fail")
    assert hint


@needs_kvm
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace to put errors in with")
@pytest.mark.parametrize(
    ("call", "error", "when", "reason"),
    [
        ("openat", "ENXIO", 1, "StaleDevice"),
        ("openat", "EPERM", 1, "DeviceCgroupDenied"),
        ("openat", "ENFILE", 1, "ResourceExhausted"),
        ("openat", "EIO", 1, "CreateVMFailed"),
        ("ioctl", "ENOTTY", 1, "WrongDevice"),
        ("ioctl", "EPERM", 1, "DeviceCgroupDenied"),
        ("ioctl", "EBUSY", 2, "HypervisorBusy"),
        ("ioctl", "EPERM", 2, "DeviceCgroupDenied"),
        ("ioctl", "ENOMEM", 2, "ResourceExhausted"),
        ("ioctl", "EIO", 2, "CreateVMFailed"),
        ("ioctl", "EINTR", 2, RUNS.reason),
    ],
)
def test_errors_of_the_device(call: str, error: str, when: int, reason: str, tmp_path: Path) -> None:
    """Answers to ``open``, ``KVM_GET_API_VERSION`` (the first ioctl) and ``KVM_CREATE_VM`` (the second)."""
    inject = f"inject={call}:error={error}:when={when}"
    wrapper = ("strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-P", "/dev/kvm", "-e", inject)
    if subprocess.run([*wrapper, "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace may not trace here")
    answer = ask_in(*wrapper, root=Path("/"))
    if "INJECTED" not in (tmp_path / "trace").read_text():
        pytest.skip("this strace does not put errors in by path")
    assert answer[0] == reason


FILTER = """
import ctypes, struct, sys
request, error = int(sys.argv[1], 0), int(sys.argv[2])
program = struct.pack(
    "HBBI" * 6,
    0x20, 0, 0, 0,                       # load the system call's number
    0x15, 0, 3, 16,                      # ioctl on x86-64; another: allow
    0x20, 0, 0, 24,                      # load the request
    0x15, 0, 1, request,                 # another: allow
    0x06, 0, 0, 0x00050000 | error,      # SECCOMP_RET_ERRNO
    0x06, 0, 0, 0x7FFF0000,              # SECCOMP_RET_ALLOW
)
text = ctypes.create_string_buffer(program)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Filter(6, ctypes.addressof(text))), 0, 0):
    sys.exit(f"no seccomp: {ctypes.get_errno()}")
sys.argv[1:] = sys.argv[3:]
"""
"""Puts a filter in force for this process (seccomp(2); Linux: PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP)."""


@needs_kvm
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter is for x86-64's system calls")
@pytest.mark.parametrize(
    ("request_number", "error", "reason"),
    [
        (0xAE00, errno.EPERM, "DeviceCgroupDenied"),
        (0xAE01, errno.EPERM, "DeviceCgroupDenied"),
        (0xAE01, errno.ENOSYS, "DeviceCgroupDenied"),
        (0xAE41, errno.EPERM, "DeviceCgroupDenied"),
        (0xAE41, errno.EINVAL, "CreateVCPUFailed"),
        (0xAE80, errno.EPERM, "DeviceCgroupDenied"),
        (0xAE80, errno.EINVAL, "GuestFailed"),
    ],
)
def test_a_seccomp_filter(request_number: int, error: int, reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILTER + ASK, hex(request_number), str(error), "/"],
        check=True,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=60,
    )
    answer = json.loads(done.stdout)
    assert answer[0] == reason
    assert "seccomp (a filter is in force)" in answer[2]
    assert answer[3]


@needs_kvm
@needs_root
def test_a_device_cgroup_that_denies() -> None:
    """Version 1, where a list tells what is denied (kernel: admin-guide/cgroup-v1/devices.rst)."""
    from linux.cgroup import devices_path

    own = Path("/sys/fs/cgroup/devices" + devices_path(Path("/proc/self/cgroup").read_text()))
    if not (own / "devices.list").exists():
        pytest.skip("no device cgroup of version 1 here")
    group = own / f"vm-preflight-{os.getpid()}"
    group.mkdir()
    try:
        (group / "devices.deny").write_text("c 10:232 rwm")
        reason, status, message, _ = ask_as(
            lambda: (group / "cgroup.procs").write_text(str(os.getpid())), Path("/")
        )
        assert (reason, status) == ("DeviceCgroupDenied", "Unknown")
        assert "EPERM" in message
    finally:
        group.rmdir()
