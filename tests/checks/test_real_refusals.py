"""Who asks, on the real kernel: users, groups, lists, namespaces, cgroups, filters, security modules.

The program itself is asked, in a child of this process that was put into the situation.
"""

import errno
import json
import os
import resource
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aclfile
import pytest
import situations
from realkvm import needs_kvm, needs_root
from situations import IOCTL, OPENAT, become, together

from checks.kvm import kvm
from checks.tun import tun
from linux.cgroup import devices_path
from linux.diagnosis import calls, confinement, node, own_dev, refusal
from preflight.check import Run
from preflight.child import ask as ask_one
from preflight.host import Host

pytestmark = [needs_kvm, needs_root]

needs_landlock = pytest.mark.skipif(
    not situations.X86_64 or situations.landlock_version() == 0, reason="no Landlock in this kernel"
)
needs_landlock_of_devices = pytest.mark.skipif(
    not situations.X86_64 or situations.landlock_version() < 5, reason="Landlock does not know ioctls here"
)
IMPORTED = (calls, confinement, node, own_dev, refusal)
"""What a failing check imports; the child may not be able to."""

ORDINARY = become(4000, 4000)

OPENS_DEVICE = (2, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
"""The third argument of the open that a device gets, and no other file."""


def device(root: Path, mode: int = 0o660, owner: int = 0, group: int = 107) -> Path:
    path = root / "dev/kvm"
    os.mknod(path, stat.S_IFCHR, os.makedev(10, 232))
    os.chown(path, owner, group)
    path.chmod(mode)
    return path


def ask(root: Path, prepare: Callable[[], object] = ORDINARY) -> tuple[str, str, str, str]:
    return situations.run(prepare, "--only", "KVM", "--host-root", str(root)).told("KVM")


@pytest.mark.parametrize(
    ("mode", "owner", "group", "who", "opens"),
    [
        (0o660, 0, 107, become(4000, 4000), False),
        (0o660, 0, 107, become(4000, 107), True),
        (0o660, 0, 107, become(4000, 4000, 5, 107), True),
        (0o660, 4000, 0, become(4000, 4000), True),
        (0o060, 4000, 107, become(4000, 107), False),
        (0o606, 0, 107, become(4000, 107), False),
        (0o606, 0, 107, become(4000, 4000), True),
        (0o640, 0, 107, become(4000, 107), False),
        (0o666, 0, 0, become(4000, 4000), True),
        (0o000, 0, 0, become(4000, 4000), False),
        (0o000, 0, 0, become(0, 0), True),
        (0o600, 5, 5, become(0, 0), True),
    ],
)
def test_owner_group_and_mode(
    root: Path, mode: int, owner: int, group: int, who: Callable[[], object], opens: bool
) -> None:
    device(root, mode, owner, group)
    reason, status, message, hint = ask(root, who)
    if opens:
        assert status == "Pass"
    else:
        assert (reason, status) == ("PermissionDenied", "Unknown")
        assert "EACCES" in message
        assert f"with mode {mode:04o}, which does not let user 4000 in" in message
        assert "sudo vm-preflight run" in hint


def test_names_the_group_and_how_to_join_it(root: Path) -> None:
    device(root)
    _, _, message, hint = ask(root)
    assert "it belongs to root:kvm with mode 0660" in message
    assert hint.startswith('sudo usermod -aG kvm "$USER", then log in again')


def test_a_session_that_is_older_than_its_membership(root: Path) -> None:
    device(root)
    (root / "etc/group").write_text("root:x:0:\nkvm:x:107:bob,alice\n")
    _, _, _, hint = ask(root)
    assert hint.startswith("sg kvm 'vm-preflight run'")


def test_a_host_without_a_group_kvm(root: Path) -> None:
    device(root, 0o600, group=0)
    (root / "etc/group").write_text("root:x:0:\n")
    _, _, _, hint = ask(root)
    assert hint.startswith("sudo groupadd --system kvm && sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm")


@pytest.mark.parametrize(
    ("text", "who", "words", "hint"),
    [
        ("u::rw u:4000:rw g::- m::rw o::-", become(4000, 4000), "", ""),
        ("u::rw g::- g:5:rw m::rw o::-", become(4000, 4000, 5), "", ""),
        ("u::rw u:4000:- g::rw m::rw o::rw", become(4000, 107), "user:4000:---", 'setfacl -m u:"$USER":rw'),
        ("u::rw u:4000:r g::rw m::rw o::-", become(4000, 107), "user:4000:r--", 'setfacl -m u:"$USER":rw'),
        ("u::rw u:4000:rw g::rw m::r o::-", become(4000, 4000), "limited by mask::r--", "setfacl -m m::rw"),
        ("u::rw g::rw g:5:r m::rw o::rw", become(4000, 5), "group:5:r--", 'usermod -aG kvm "$USER"'),
        ("u::rw g::rw u:5:rw m::rw o::-", become(4000, 4000), "other::---", 'usermod -aG kvm "$USER"'),
    ],
)
def test_an_access_control_list(
    root: Path, text: str, who: Callable[[], object], words: str, hint: str
) -> None:
    path = device(root)
    try:
        aclfile.put(path, text)
    except OSError as error:
        pytest.skip(f"no access control lists on this file system: {error.strerror}")
    answer = situations.run(who, "--only", "KVM", "--host-root", str(root))
    reason, status, message, told_hint = answer.told("KVM")
    if not words:
        assert status == "Pass"
        return
    assert (reason, status) == ("PermissionDenied", "Unknown")
    assert words in message
    assert f"sudo {hint}" in told_hint
    evidence = answer.results["KVM"]["evidence"]
    assert isinstance(evidence, dict)
    assert evidence["ACL of /dev/kvm"] == ",".join(map(str, aclfile.parse(text)))


@pytest.mark.parametrize("behind_link", [False, True])
def test_a_directory_that_may_not_be_searched(root: Path, behind_link: bool) -> None:
    path = device(root, 0o666)
    if behind_link:
        (root / "hidden").mkdir(0o700)
        path.rename(root / "hidden/kvm")
        path.symlink_to("../hidden/kvm")
    else:
        (root / "dev").chmod(0o700)
    reason, status, message, hint = ask(root)
    assert (reason, status) == ("PermissionDenied", "Unknown")
    directory = "/hidden" if behind_link else "/dev"
    assert (
        f"may not search the directory {directory} on the path: it belongs to root:root with mode 0700"
        in message
    )
    assert hint.startswith("namei -l /dev/kvm")


@situations.needs_x86_64
@pytest.mark.parametrize("mode", [0o660, 0o600])
def test_root_without_its_capabilities(root: Path, mode: int) -> None:
    device(root, mode, owner=5, group=5)
    reason, _, message, hint = ask(root, situations.drop_capabilities)
    assert reason == "PermissionDenied"
    assert "root without the capability DAC_OVERRIDE" in message
    assert "--cap-add DAC_OVERRIDE" in hint


@pytest.mark.parametrize("group", [0, 107])
def test_root_of_a_user_namespace_is_an_ordinary_user(root: Path, group: int) -> None:
    device(root, 0o660, group=group)
    reason, status, message, hint = ask(root, lambda: situations.enter_user_namespace(100000))
    assert (reason, status) == ("PermissionDenied", "Unknown")
    assert "user namespace that does not know its owner or group" in message
    assert "leave the user namespace" in hint


def test_a_user_namespace_that_owns_the_device(root: Path) -> None:
    device(root, 0o600, owner=100000, group=100000)
    assert ask(root, lambda: situations.enter_user_namespace(100000))[1] == "Pass"


def test_a_device_for_everybody_in_a_user_namespace(root: Path) -> None:
    device(root, 0o666)
    assert ask(root, lambda: situations.enter_user_namespace(100000))[1] == "Pass"


def test_a_mount_that_was_made_in_a_user_namespace(root: Path) -> None:
    """No device opens there, though nothing shows ``nodev`` (Linux: SB_I_NODEV)."""
    device(root, 0o666)

    def prepare() -> None:
        situations.enter_user_namespace(100000)
        situations.private_mounts()
        situations.mount("tmpfs", str(root / "etc"))
        for name in ("upper", "work"):
            (root / "etc" / name).mkdir()
        layers = f"lowerdir={root}/dev,upperdir={root}/etc/upper,workdir={root}/etc/work"
        situations.mount("overlay", str(root / "dev"), layers)

    reason, status, message, hint = ask(root, prepare)
    assert (reason, status) == ("PermissionDenied", "Unknown")
    assert "a mount that was made in a user namespace, where no device opens" in message
    assert hint


@pytest.mark.parametrize("options", ["hidepid=2", "hidepid=2,gid=5", "subset=pid"])
@pytest.mark.parametrize("who", [become(4000, 4000), lambda: None])
def test_a_proc_that_hides_processes(options: str, who: Callable[[], object]) -> None:
    """As systemd's ProtectProc= and ProcSubset= do."""

    def prepare() -> None:
        situations.private_mounts()
        situations.mount("proc", "/proc", options)
        who()

    answer = situations.run(prepare)
    assert answer.errors == ""
    assert all(result["reason"] != "Crashed" for result in answer.results.values())
    for name in answer.results:
        answer.told(name)


def test_a_dev_that_is_masked(root: Path) -> None:
    """As systemd's PrivateDevices= does: the host's devices are there, and not for us."""

    def prepare() -> None:
        situations.private_mounts()
        situations.mount("tmpfs", "/dev")

    answer = situations.run(prepare, "--only", "KVM,Tun")
    for name in ("KVM", "Tun"):
        reason, status, _, hint = answer.told(name)
        assert (reason, status) == ("DeviceNotInContainer", "Unknown")
        assert "--device" in hint or "DeviceAllow" in hint


def test_a_dev_of_which_nobody_can_tell_whose_it_is() -> None:
    """An ordinary user may not look at init's mounts, and the processes are the host's: no verdict."""

    def prepare() -> None:
        situations.private_mounts()
        situations.mount("tmpfs", "/dev")
        ORDINARY()

    answer = situations.run(prepare, "--only", "KVM,Tun")
    for name in ("KVM", "Tun"):
        reason, status, message, _ = answer.told(name)
        assert (reason, status) == ("DeviceNotInContainer", "Unknown")
        assert "whether this /dev (tmpfs) is the host's own" in message


@pytest.mark.parametrize("made", [False, True])
def test_a_chroot_whose_dev_is_empty(root: Path, made: bool) -> None:
    """Its mounts are the host's, its files are not; what init sees tells."""
    if made:
        device(root)

    def prepare() -> None:
        os.chroot(root)
        os.chdir("/")

    subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
    try:
        answer = situations.run(prepare, "--only", "KVM")
    finally:
        subprocess.run(["umount", str(root / "proc")], check=True)
    reason, status, message, _ = answer.told("KVM")
    if made:
        assert status == "Pass"
    else:
        assert (reason, status) == ("DeviceNotInContainer", "Unknown")
        assert "10:232" in message


@situations.needs_x86_64
def test_a_device_cgroup_of_version_2() -> None:
    with situations.device_cgroup(10, 232) as enter:
        answer = situations.run(enter, "--only", "KVM,Tun")
    reason, status, message, hint = answer.told("KVM")
    assert (reason, status) == ("DeviceCgroupDenied", "Unknown")
    assert "the device cgroup (/vm-preflight-" in message
    assert "of version 2, whose BPF program cannot be read" in message
    assert "--device /dev/kvm" in hint
    assert "device cgroup" not in str(answer.results["Tun"]["message"])


@situations.needs_x86_64
def test_a_device_cgroup_that_keeps_tun_away() -> None:
    if not Path("/dev/net/tun").exists():
        pytest.skip("no /dev/net/tun here")
    with situations.device_cgroup(10, 200) as enter:
        reason, status, message, hint = situations.run(enter, "--only", "Tun").told("Tun")
    assert (reason, status) == ("AccessDenied", "Unknown")
    assert "the device cgroup" in message
    assert "--device /dev/net/tun" in hint


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ((("deny", "c 10:232 rwm"),), "whose list does not show what was taken away"),
        ((("deny", "a"), ("allow", "c 1:* rwm")), "whose list does not have c 10:232 rw"),
        ((("deny", "a"), ("allow", "c 10:232 r")), "whose list does not have c 10:232 rw"),
        ((("deny", "a"), ("allow", "c 10:232 rw")), ""),
        ((("deny", "a"), ("allow", "c 10:* rwm")), ""),
    ],
)
def test_a_device_cgroup_of_version_1(rules: tuple[tuple[str, str], ...], words: str) -> None:
    own = Path("/sys/fs/cgroup/devices" + devices_path(Path("/proc/self/cgroup").read_text()))
    if not (own / "devices.list").exists():
        pytest.skip("no device cgroup of version 1 here")
    group = own / f"vm-preflight-{os.getpid()}"
    group.mkdir()
    try:
        for verb, rule in rules:
            (group / f"devices.{verb}").write_text(rule)
        answer = situations.run(
            lambda: (group / "cgroup.procs").write_text(str(os.getpid())), "--only", "KVM"
        )
    finally:
        group.rmdir()
    reason, status, message, _ = answer.told("KVM")
    if not words:
        assert status == "Pass"
        return
    assert (reason, status) == ("DeviceCgroupDenied", "Unknown")
    assert "EPERM" in message
    assert f"{group.name}, {words}" in message
    assert "seccomp" not in message


@situations.needs_x86_64
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errno.EPERM, ("DeviceCgroupDenied", "Unknown")),
        (errno.EACCES, ("PermissionDenied", "Fail")),
        (errno.ENOSYS, ("DeviceCgroupDenied", "Unknown")),
    ],
)
def test_a_filter_that_forbids_to_open(error: int, expected: tuple[str, str]) -> None:
    answer = situations.run(
        lambda: situations.answer(OPENAT, error, argument=OPENS_DEVICE), "--only", "KVM,Tun"
    )
    reason, status, message, _ = answer.told("KVM")
    assert (reason, status) == expected
    assert "seccomp (a filter is in force)" in message
    assert "device cgroup" not in message
    evidence = answer.results["KVM"]["evidence"]
    assert isinstance(evidence, dict)
    assert evidence["/proc/self/status Seccomp"] == "2"
    assert answer.told("Tun")[1] == "Unknown"


@situations.needs_x86_64
def test_several_filters_are_counted() -> None:
    def prepare() -> None:
        situations.answer(OPENAT, errno.EPERM, argument=OPENS_DEVICE)
        situations.answer(situations.ACCESS, errno.EPERM)

    _, _, message, hint = situations.run(prepare, "--only", "KVM").told("KVM")
    assert "the device cgroup or seccomp (a filter is in force, 2 of them)" in message
    assert "seccomp=unconfined" in hint


@situations.needs_x86_64
@pytest.mark.parametrize(("call", "argument"), [(IOCTL, (1, 0xAE01)), (OPENAT, OPENS_DEVICE)])
def test_a_filter_that_kills(call: int, argument: tuple[int, int]) -> None:
    answer = situations.run(
        lambda: situations.answer(call, situations.KILL, argument=argument), "--only", "KVM,Memory"
    )
    reason, status, message, hint = answer.told("KVM")
    assert (reason, status) == ("Killed", "Unknown")
    assert "SIGSYS" in message
    assert "seccomp filter" in message
    assert "seccomp=unconfined" in hint
    assert answer.told("Memory")[1] == "Pass"


@needs_landlock
def test_landlock_that_forbids_to_write() -> None:
    allowed = situations.LANDLOCK_READ_FILE
    handled = allowed | situations.LANDLOCK_WRITE_FILE
    answer = situations.run(lambda: situations.landlock(handled, allowed), "--only", "KVM,Tun")
    reason, status, message, _ = answer.told("KVM")
    assert (reason, status) == ("PermissionDenied", "Fail")
    assert "and access(2) agrees: what refuses it is" in message
    assert "Landlock" in message
    assert answer.told("Tun")[:2] == ("AccessDenied", "Unknown")


@needs_landlock
def test_landlock_around_an_ordinary_user(root: Path) -> None:
    device(root, 0o666)
    allowed = situations.LANDLOCK_READ_FILE
    handled = allowed | situations.LANDLOCK_WRITE_FILE
    reason, status, message, _ = ask(
        root, together(become(4000, 4000), lambda: situations.landlock(handled, allowed))
    )
    assert (reason, status) == ("PermissionDenied", "Unknown")
    assert "which lets user 4000 in, and access(2) agrees" in message


@needs_landlock_of_devices
def test_landlock_that_forbids_ioctls() -> None:
    handled = situations.LANDLOCK_IOCTL_DEV
    reason, status, message, _ = situations.run(
        lambda: situations.landlock(handled, 0), "--only", "KVM"
    ).told("KVM")
    assert (reason, status) == ("DeviceCgroupDenied", "Unknown")
    assert "KVM_GET_API_VERSION: Permission denied (EACCES)" in message
    assert "Landlock" in message


def no_descriptors_but(left: int) -> Callable[[], object]:
    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
        taken = []
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for descriptor in taken[:left]:
            os.close(descriptor)

    return prepare


def ask_check(prepare: Callable[[], object], root: Path, name: str) -> list[str]:
    """Asks a check's function in a child: the runner gives each check's process descriptors of its own."""
    check = {"KVM": kvm, "Tun": tun}[name]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            prepare()
            found = ask_one(check, Host(str(root)), Run())
            answer = [found.outcome.reason, found.outcome.status, found.message, found.hint]
            os.write(writer, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer_file:
        data = answer_file.read()
    os.waitpid(child, 0)
    told = json.loads(data)
    assert isinstance(told, list)
    return told


@pytest.mark.parametrize("left", [0, 1, 2, 4])
@pytest.mark.parametrize("there", [True, False])
def test_out_of_descriptors(root: Path, left: int, there: bool) -> None:
    """Where none is left, nothing can be read either, and so nothing is said of the node."""
    if there:
        device(root)
    reason, status, message, hint = ask_check(no_descriptors_but(left), root, "KVM")
    if there and left == 4:  # the device, the VM, the vCPU, and a module
        assert status == "Pass"
    elif not there and left >= 1:
        assert (reason, status) == ("DeviceMissing", "Fail")
    else:
        assert (reason, status) == ("ResourceExhausted", "Unknown")
        assert "EMFILE" in message
        assert "ulimit -n" in hint


@pytest.mark.parametrize("there", [True, False])
def test_out_of_descriptors_for_tun(root: Path, there: bool) -> None:
    if there:
        os.mknod(root / "dev/net/tun", stat.S_IFCHR | 0o600, os.makedev(10, 200))
    reason, status, message, _ = ask_check(no_descriptors_but(0), root, "Tun")
    assert (reason, status) == ("OpenFailed", "Unknown")
    assert "EMFILE" in message


@situations.needs_x86_64
def test_out_of_memory(root: Path) -> None:
    """An address space that takes nothing more, where a vCPU's state must be mapped."""
    device(root)
    reason, status, message, hint = ask_check(
        lambda: situations.answer(situations.MMAP, errno.ENOMEM), root, "KVM"
    )
    assert (reason, status) == ("ResourceExhausted", "Unknown")
    assert "ENOMEM" in message
    assert hint


def test_no_process_can_be_made(root: Path) -> None:
    device(root, 0o666)

    def prepare() -> None:
        become(4000, 4000)()
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))

    reason, status, message, hint = ask(root, prepare)
    assert (reason, status) == ("ResourceExhausted", "Unknown")
    assert "no process could be made" in message
    assert "ulimit -u" in hint


def test_a_memory_cgroup_that_is_full() -> None:
    """What lacks memory is killed, and nothing is said of the node."""
    told = Path("/proc/self/cgroup").read_text()
    own = next((line.split(":")[2] for line in told.splitlines() if ":memory:" in line), None)
    base = Path(f"/sys/fs/cgroup/memory{own}")
    if own is None or not (base / "memory.limit_in_bytes").exists():
        pytest.skip("no memory cgroup of version 1 here")
    group = base / f"vm-preflight-{os.getpid()}"
    group.mkdir()

    def enter() -> None:  # what is forked now: the process that asks the checks
        os.register_at_fork(
            after_in_child=lambda: (group / "cgroup.procs").write_text(str(os.getpid())) and None
        )

    reasons = []
    try:
        for limit in (128 << 10, 512 << 10, 1 << 20, 2 << 20, 3 << 20, 4 << 20, 64 << 20):
            (group / "memory.limit_in_bytes").write_text(str(limit))
            reason, status, _, hint = situations.run(enter, "--only", "KVM").told("KVM")
            reasons.append(reason)
            if status == "Pass":
                break
            assert (reason, status) in (("Killed", "Unknown"), ("ResourceExhausted", "Unknown"))
            assert "dmesg | grep -i kill" in hint or "free -m" in hint
    finally:
        group.rmdir()
    assert len(reasons) > 1
    assert status == "Pass"


def test_an_ordinary_user_on_a_plain_host() -> None:
    """Show 4: what it could not see is Unknown, with the command that would let it see."""
    if os.stat("/dev/kvm").st_mode & 0o006:
        pytest.skip("everybody may open /dev/kvm here")
    # Our PATH may lead into directories of ours alone.
    answer = situations.run(together(lambda: os.environ.update(PATH="/usr/bin:/bin"), ORDINARY))
    assert answer.status == 1
    reason, status, _, hint = answer.told("KVM")
    assert (reason, status) == ("PermissionDenied", "Unknown")
    assert "sudo vm-preflight run" in hint
    for name, result in answer.results.items():
        told = answer.told(name)
        if "EACCES" in told[2] or "EPERM" in told[2] or "denied" in told[2].lower():
            assert told[1] in ("Unknown", "Pass", "Skip"), (name, result)
            assert told[1] != "Unknown" or "sudo" in told[3], (name, result)


@pytest.mark.parametrize("there", [True, False])
def test_an_address_space_that_is_full(root: Path, there: bool) -> None:
    """However little is left, what cannot be asked for want of memory is no failure of the node."""
    if there:
        device(root)
    verdicts = set()
    for left in (0, 4096, 16384, 65536, 1 << 18, 1 << 20, 1 << 26):

        def prepare(left: int = left) -> None:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + left, size + left))

        reason, status, _, hint = ask_check(prepare, root, "KVM")
        verdicts.add(status if status == "Pass" else f"{status} {reason}")
        assert hint or status == "Pass"
    good = "Pass" if there else "Fail DeviceMissing"
    assert good in verdicts
    assert verdicts <= {good, "Unknown ResourceExhausted"}
